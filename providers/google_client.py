"""Google Cloud's speech services over gRPC: credentials, connections and what errors mean. Import it when it is used:
the packages behind it (extra ``google``) take a quarter of a second.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it tells every closed connection otherwise, in lines of its own

import google.auth
import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.grpc import AuthMetadataPlugin
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials
from grpc import aio

from providers.voice import VoiceError

CONNECT_WITHIN = 5.0  # seconds
STREAMS = 80  # on one connection; Google's servers take 100
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
KEEPALIVE = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.use_local_subchannel_pool", 1),  # else all channels of one address share one connection
)

Client = TypeVar("Client")

# Another try may mend these; for all others the request, the key or the quota has to change.
PASSING = frozenset({"aborted", "cancelled", "deadline_exceeded", "internal", "out_of_range", "unavailable", "unknown"})
_ADVICE = {
    "unauthenticated": "the credentials are wrong or expired; check GOOGLE_APPLICATION_CREDENTIALS",
    "permission_denied": "the account may not use this API; enable it in the project and give the account its role",
    "invalid_argument": "check model, language and voice",
    "not_found": "check the project, the location and the names of model and voice",
    "failed_precondition": "check the project and its billing",
    "resource_exhausted": "the quota is used up",
    "unavailable": "it cannot be reached; check the network",
}

# Languages whose country is not called like them; Google wants both.
COUNTRIES = {
    "ar": "XA", "bn": "IN", "cs": "CZ", "da": "DK", "el": "GR", "en": "US", "gu": "IN", "hi": "IN", "ja": "JP",
    "ko": "KR", "pt": "BR", "sv": "SE", "ta": "IN", "te": "IN", "uk": "UA", "ur": "IN", "vi": "VN",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks. ``credentials`` are google-auth's; an API key goes into the ``metadata`` of every call."""

    project: str
    credentials: Any = None
    metadata: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Account({self.project!r})"


def account(*, credentials: str, api_key: str, project: str, machine: bool = False) -> Account:
    """Whoever the settings name: an API key, the key of a service account (a path, or the key itself, which is JSON),
    or with ``machine`` whomever Google's own libraries find, such as the account of a machine in Google's cloud.

    Raises `VoiceError`.
    """
    found: Any = None
    own_project: str | None = None
    if not api_key:
        try:
            if credentials.startswith("{"):
                found = Credentials.from_service_account_info(json.loads(credentials), scopes=SCOPES)  # type: ignore[no-untyped-call]
            elif credentials:
                found = Credentials.from_service_account_file(credentials, scopes=SCOPES)  # type: ignore[no-untyped-call]
            elif machine:
                found, own_project = google.auth.default(scopes=SCOPES)
            else:
                raise ValueError("there is none")
        except (GoogleAuthError, OSError, ValueError) as error:
            why = "there is none" if not credentials else f"this one cannot be used ({type(error).__name__})"
            text = "the google voice needs the account that it works for: set GOOGLE_APPLICATION_CREDENTIALS to the "
            raise VoiceError(f"{text}key file of a service account; {why}", code="setting") from None
        own_project = own_project or getattr(found, "project_id", None)
    project = project or own_project or ""
    if not project:
        raise VoiceError("the google voice needs the id of your project: set GOOGLE_CLOUD_PROJECT", code="setting")
    return Account(project, found, (("x-goog-api-key", api_key),) if api_key else ())


def open_channel(url: str, account: Account) -> aio.Channel:
    """A connection to ``https://host`` (or ``http://``: without TLS and credentials, for a server on this machine)."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        return aio.insecure_channel(parts.netloc, options=KEEPALIVE)
    secure = grpc.ssl_channel_credentials()
    if account.credentials is not None:
        plugin = AuthMetadataPlugin(account.credentials, Request(), default_host=parts.netloc)  # type: ignore[no-untyped-call]
        secure = grpc.composite_channel_credentials(secure, grpc.metadata_call_credentials(plugin))
    target = parts.netloc if parts.port else f"{parts.netloc}:443"
    return aio.secure_channel(target, secure, options=KEEPALIVE)


@dataclass(slots=True)
class _Connection(Generic[Client]):
    channel: aio.Channel
    client: Client
    streams: int = 0


class Connections(Generic[Client]):
    """As many connections as the streams need that are open at the same time."""

    def __init__(self, url: str, account: Account, make: Callable[[aio.Channel], Client]) -> None:
        self._url = url
        self._account = account
        self._make = make
        self._open: list[_Connection[Client]] = []

    def warm(self) -> None:
        """Begin to connect, so that the first stream need not wait for it. Waits for nothing."""
        self._with_room().channel.get_state(try_to_connect=True)

    def _with_room(self) -> _Connection[Client]:
        found = next((each for each in self._open if each.streams < STREAMS), None)
        if found is None:
            channel = open_channel(self._url, self._account)
            found = _Connection(channel, self._make(channel))
            self._open.append(found)
        return found

    async def take(self, name: str) -> Lease[Client]:
        """A client with room for one more stream, connected; give it back. Raises `VoiceError`."""
        found = self._with_room()
        lease = Lease(found, self._account.metadata)
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await found.channel.channel_ready()
        except TimeoutError:
            lease.give_back()
            text = f"{name} cannot be reached within {CONNECT_WITHIN:g} s; check the network"
            raise VoiceError(text, code="unreachable", recoverable=True) from None
        except BaseException:
            lease.give_back()
            raise
        return lease

    async def close(self) -> None:
        """Close them all."""
        connections, self._open = self._open, []
        for connection in connections:
            await connection.channel.close()


class Lease(Generic[Client]):
    """The right to one stream of a client."""

    def __init__(self, connection: _Connection[Client], metadata: Sequence[tuple[str, str]]) -> None:
        self._connection: _Connection[Client] | None = connection
        self.client = connection.client
        self.metadata = tuple(metadata)
        connection.streams += 1

    def give_back(self) -> None:
        """The stream is over. Idempotent."""
        if self._connection is not None:
            self._connection.streams -= 1
            self._connection = None


def told(name: str, error: GoogleAPICallError) -> VoiceError:
    """What an error of the API means. Google's own words are not repeated: they may hold what was said."""
    status = error.grpc_status_code
    code = "unknown" if status is None else status.name.lower()
    advice = _ADVICE.get(code)
    return VoiceError(
        f"{name} failed with {code.upper()}{f': {advice}' if advice else ''}", code=code, recoverable=code in PASSING
    )


def with_country(language: str) -> str:
    """``de-DE`` for ``de``: Google wants a language with its country."""
    base, _, country = language.partition("-")
    return language if country else f"{base}-{COUNTRIES.get(base, base.upper())}"
