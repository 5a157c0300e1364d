"""ARI over HTTP: one pool of connections, one time limit, typed errors.

A POST is never sent twice by itself, for nobody knows whether the first one took effect. A GET whose connection broke
is tried again within the same time limit.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import tenacity
from yarl import URL

from asterisk.ari.errors import AriError, BadResponse, Timeout, Unreachable, error_for

Query = Mapping[str, bool | int | str | Sequence[str] | None]

# Asterisk closes an idle connection after 15 s (http.conf session_keep_alive) and allows 100 sessions (sessionlimit) to
# all its users together: we close first, so that no request races with the close, and leave room for others.
KEEP_ALIVE_S = 10
CONNECTIONS = 32
REMEMBERED_IDS = 4096
HEARTBEAT_S = 5.0


class Rest:
    """Requests to one Asterisk. `url` is its HTTP address, with or without the final `/ari`; `timeout` in seconds."""

    def __init__(self, url: str, user: str, password: str, *, timeout: float = 5.0) -> None:
        base = URL(url.rstrip("/"))
        if base.scheme not in ("http", "https") or not base.host:
            raise ValueError(f"{url!r} is no address of an Asterisk; write it as http://host:8088")
        if base.user is not None or base.password is not None:
            raise ValueError("the address of the Asterisk holds a user or a password; give them apart from the address")
        self.base = base if base.path.endswith("/ari") else base / "ari"
        self.timeout = timeout
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self._session: aiohttp.ClientSession | None = None
        self._posted: OrderedDict[str, None] = OrderedDict()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session; `RuntimeError` outside `async with`."""
        if self._session is None:
            raise RuntimeError("the ARI client is not open; use it inside `async with`")
        return self._session

    async def request(self, method: str, path: str, query: Query | None = None, body: object = None) -> Any:
        """Ask, and give the decoded JSON, or None where the answer is empty."""
        answer = await self.fetch(method, path, query, body)
        if not answer:
            return None
        try:
            return json.loads(answer)
        except ValueError:
            raise BadResponse(200, f"not JSON: {answer[:80]!r}; is this Asterisk?", method, path) from None

    async def fetch(self, method: str, path: str, query: Query | None = None, body: object = None) -> bytes:
        """Ask, and give the answer's bytes. Raises the errors of `asterisk.ari.errors`."""
        try:
            async with asyncio.timeout(self.timeout):
                if method != "GET":
                    return await self._once(method, path, query, body)
                async for attempt in tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_exception_type(Unreachable),
                    stop=tenacity.stop_after_attempt(3),
                    wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
                    reraise=True,
                ):
                    with attempt:
                        return await self._once(method, path, query, body)
        except TimeoutError:
            message = f"no answer within {self.timeout:g} s" + ("" if method == "GET" else "; it may still take effect")
            raise Timeout(0, message, method, path) from None
        raise AssertionError("tenacity gave neither an answer nor an error")

    async def create(self, path: str, channel_id: str, query: Query, body: object = None) -> Any:
        """POST something that makes the channel `channel_id`; give its JSON.

        The same id is never posted twice: Asterisk up to 22.10.1 crashes when external media asks for an id in use
        (measured). When no answer comes, the channel is looked up before the failure is believed.
        """
        if channel_id in self._posted:
            raise ValueError(f"the channel id {channel_id} was posted before; every attempt needs a new_id()")
        self._posted[channel_id] = None
        if len(self._posted) > REMEMBERED_IDS:
            self._posted.popitem(last=False)
        try:
            return await self.request("POST", path, query, body)
        except (Timeout, Unreachable) as failure:
            try:
                return await self.request("GET", f"/channels/{segment(channel_id)}")
            except AriError:
                raise failure from None

    async def websocket(
        self, path: str, query: Query, *, heartbeat: float = HEARTBEAT_S
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket, with a PING every `heartbeat` seconds. Raises the errors of `asterisk.ari.errors`.

        No compression: Asterisk does not speak it. PINGs only: an unsolicited PONG crashes 22.11.0-rc1.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self.session.ws_connect(
                    self.address(path, query).with_scheme("wss" if self.base.scheme == "https" else "ws"),
                    heartbeat=heartbeat,
                    compress=0,
                    autoping=True,
                )
        except TimeoutError:
            raise Timeout(0, f"no WebSocket within {self.timeout:g} s", "GET", path) from None
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 400:
                raise BadResponse(
                    error.status, f"no WebSocket: {error.message}; is this Asterisk?", "GET", path
                ) from None
            raise error_for(error.status, b"", error.message, "GET", path) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error, "GET", path) from error

    async def _once(self, method: str, path: str, query: Query | None, body: object) -> bytes:
        try:
            async with self.session.request(method, self.address(path, query), json=body) as response:
                answer = await response.read()
                if response.status >= 300:
                    raise error_for(response.status, answer, response.reason or "", method, path)
                return answer
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error, method, path) from error

    def _unreachable(self, error: Exception, method: str, path: str) -> AriError:
        where = f"{self.base.host}:{self.base.port}"
        return Unreachable(0, f"Asterisk at {where} cannot be reached ({error or type(error).__name__})", method, path)

    def address(self, path: str, query: Query | None = None) -> URL:
        """The full address of `path`; parameters that are None are left out, several values joined by commas."""
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        return URL(f"{self.base}{path}{'?' + urlencode(given) if given else ''}", encoded=True)


def segment(value: str) -> str:
    """`value` as one segment of a path; an empty one would address something else and raises `ValueError`."""
    if not value:
        raise ValueError("an empty id addresses nothing in ARI")
    return quote(value, safe="")


def _text(value: bool | int | str | Sequence[str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | str) else ",".join(value)
