"""Requests to the company's own endpoints, for the verb `http` and for tools.

A flow names an endpoint of `resources.yaml`; it never holds a whole URL, a secret, or a way to another host. What comes
back is untrusted: bounded in size and parsed as JSON only when it says that it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from flows.resources import Endpoint
from flows.texts import in_text

T = TypeVar("T")
MAX_BODY = 256 * 1024
TRANSIENT = frozenset({502, 503, 504})
TRIES = 3
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the endpoint answered. ``body`` is parsed JSON, or text."""

    status: int
    body: Any


class HttpFailedError(Exception):
    """No useful answer. ``kind`` is the outcome (``timeout``, ``http_error``); ``status`` 0: there was no answer."""

    def __init__(self, message: str, *, kind: str = "http_error", status: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


def secret(name: str) -> str:
    """A secret by name: the environment variable, or the file that ``NAME_FILE`` names. Raises `HttpFailedError`."""
    if (value := os.environ.get(name)) is not None:
        return value
    if (path := os.environ.get(f"{name}_FILE")) is not None:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise HttpFailedError(f"the secret {name} cannot be read from {path}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise HttpFailedError(f"the secret {name} cannot be read from {path}: it is not text") from None
    raise HttpFailedError(f"the secret {name} is not set: set the environment variable {name} or {name}_FILE")


def escape(value: str) -> str:
    """Make a value safe as part of a URL: no slash, question mark or ampersand of it has a meaning."""
    return quote(value, safe="")


class Http:
    """Calls endpoints. One per engine; `close` it."""

    def __init__(self, secret: Callable[[str], str] = secret) -> None:
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, endpoint: Endpoint, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, idempotency_key: str | None = None,
    ) -> Reply:  # fmt: skip
        """One request within ``timeout`` seconds, repeats included. Raises `HttpFailedError`.

        Only what may safely be repeated is: GET, HEAD, or a request with an idempotency key, on a refused connection or
        502–504. PUT and DELETE, which are idempotent (RFC 9110, 9.2.2), go out once more when the connection breaks.
        """
        limit = endpoint.timeout if timeout is None else timeout
        again = method in ("GET", "HEAD") or idempotency_key is not None
        key = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        sent = self._headers(endpoint, {**(headers or {}), **key})
        url = self._url(endpoint, path)

        async def once() -> Reply:
            status, raw, kind = await self._once(endpoint.name, method, url, json, sent, MAX_BODY)
            return Reply(status, _parse(raw, kind, endpoint.name))

        return await self._tried(endpoint.name, limit, again, once)

    async def fetch(self, endpoint: Endpoint, path: str, most: int, *, timeout: float | None = None) -> bytes:
        """A file of at most so many bytes, as it is, within ``timeout`` seconds. Raises `HttpFailedError`."""
        url, headers = self._url(endpoint, path), self._headers(endpoint, {})

        async def once() -> bytes:
            return (await self._once(endpoint.name, "GET", url, None, headers, most))[1]

        return await self._tried(endpoint.name, endpoint.timeout if timeout is None else timeout, True, once)

    async def _tried(self, name: str, limit: float, again: bool, once: Callable[[], Awaitable[T]]) -> T:
        """Within ``limit`` seconds; ``again``: up to three times where that may help."""
        try:
            async with asyncio.timeout(limit):
                async for attempt in AsyncRetrying(
                    stop=stop_after_attempt(TRIES if again else 1), wait=wait_random_exponential(0.1, max=1.0),
                    retry=retry_if_exception(_transient), reraise=True,
                ):  # fmt: skip
                    with attempt:
                        return await once()
        except TimeoutError:
            raise HttpFailedError(f"{name} did not answer within {limit:g} s", kind="timeout") from None
        except aiohttp.ClientError as error:
            raise HttpFailedError(f"{name} cannot be reached: {error}") from error
        raise AssertionError("unreachable")

    async def _once(
        self, name: str, method: str, url: str, body: Any, headers: Mapping[str, str], most: int
    ) -> tuple[int, bytes, str]:  # fmt: skip
        """Status, body and content type."""
        session = self._open()
        async with session.request(method, url, json=body, headers=headers, allow_redirects=False) as answer:
            raw = bytearray(await answer.content.read(most + 1))
            while len(raw) <= most and (more := await answer.content.read(most + 1 - len(raw))):
                raw += more
            if len(raw) > most:
                raise HttpFailedError(f"{name} answered with more than {most // 1024} kB", status=answer.status)
            if answer.status >= 300:
                raise HttpFailedError(f"{name} answered {answer.status} to {method}", status=answer.status)
            return answer.status, bytes(raw), answer.content_type

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), json_serialize=_write)
        return self._session

    def _headers(self, endpoint: Endpoint, more: Mapping[str, str]) -> dict[str, str]:
        """All headers, with their secrets. What stands in one never becomes a header of its own."""
        own = {
            name: self._secret(value["secret"]) if isinstance(value, Mapping) else value
            for name, value in endpoint.headers.items()
        }
        for name, value in (sent := {**own, **more}).items():
            if _CONTROL.search(value):
                raise HttpFailedError(f"the header {name} for {endpoint.name} holds a line break or the like")
        return sent

    @staticmethod
    def _url(endpoint: Endpoint, path: str) -> str:
        if path and not path.startswith("/"):
            path = "/" + path
        segments = [unquote(segment) for segment in path.split("?")[0].split("/")]
        if path.startswith("//") or "\\" in path or {".", ".."} & set(segments):
            raise HttpFailedError(f"the path for {endpoint.name} would lead elsewhere: it has '.', '..', '//' or '\\'")
        return endpoint.base_url.rstrip("/") + path

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _write(body: Any) -> str:
    """A flow's value as JSON; a timestamp as the text that it is in a prompt."""
    return json.dumps(body, default=in_text)


def _transient(error: BaseException) -> bool:
    if isinstance(error, HttpFailedError):
        return error.status in TRANSIENT
    return isinstance(error, aiohttp.ClientConnectionError)


def _parse(raw: bytes, content_type: str, name: str) -> Any:
    if content_type.endswith("json"):
        try:
            return json.loads(raw) if raw.strip() else None
        except (ValueError, RecursionError) as error:
            raise HttpFailedError(f"{name} answered with broken JSON: {error}") from error
    return raw.decode(errors="replace")
