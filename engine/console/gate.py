"""Who is it, and may they: tokens in a header, sessions in a cookie, and this machine alone where nobody has a token.

A session is a cookie that the engine signed: name, end, and the hash of the token under a key of the engine's own, so
that it survives a restart and ends with its token. What changes something needs the session's CSRF token and the
engine's own origin, because a browser sends cookies unasked.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import math
import os
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import HttpVersion11, web

from engine.console.models import Right, Role, Session
from engine.console.patience import Patience
from engine.console.problems import ProblemError
from engine.console.roles import needed, rights
from engine.console.tokens import Token, Tokens

log = structlog.get_logger()

COOKIE: Final = "hookflash"
LASTS: Final = timedelta(hours=12)
SESSIONS: Final = 4096  # that were taken back and are remembered
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PROXIED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. ``csrf`` is what a request that changes something must show, None where nothing is needed."""

    name: str
    role: Role
    csrf: str | None = None
    expires: datetime | None = None
    open: bool = False
    token: str = ""  # the hash of the token behind it

    def may(self, right: Right) -> bool:
        """Whether the role has the right."""
        return right in rights(self.role)

    def session(self) -> Session:
        """As the API tells it."""
        return Session(
            name=self.name, role=self.role, may=rights(self.role), open=self.open, csrf=self.csrf, expires=self.expires
        )


class TooManyError(ProblemError):
    """An attempt that is not looked at. ``times``: so many of them are to be told now; 0: they were just told."""

    def __init__(self, detail: str, times: int, **headers: str) -> None:
        super().__init__("too-many", detail, **headers)
        self.times = times


class Gate:
    """Decides for each request. ``loopback``: the engine listens on this machine alone. ``key`` is the file of the key
    that signs sessions, made when the first one is."""

    def __init__(self, tokens: Tokens, key: Path, *, loopback: bool, origin: str | None = None) -> None:
        self.tokens = tokens
        self._key_file = key
        self._loopback = loopback
        self._origin = origin
        self._patience = Patience()
        self._ended: OrderedDict[str, datetime] = OrderedDict()  # sessions that were taken back, and their ends

    # ── Who ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def identify(self, request: web.Request) -> Identity:
        """Who asks. Raises `ProblemError`: nobody, or too often."""
        if self.tokens.open:
            return self._alone(request)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer":
                raise _stranger("the header Authorization takes a bearer token")
            token = self.try_token(request, given.strip())
            return Identity(token.name, token.role, token=token.sha256)
        cookie = request.cookies.get(COOKIE)
        if cookie is None:
            raise _stranger("log in, or send a token in the header Authorization")
        return self._session(cookie)

    def try_token(self, request: web.Request, given: str) -> Token:
        """The token that was given. Raises `ProblemError` for a wrong one, and after too many of them.

        Who has a right one never waits: behind a proxy all have the same address, and nobody guesses 256 bits.
        """
        if (token := self.tokens.find(given)) is not None:
            return token
        address, now = request.remote or "", asyncio.get_running_loop().time()
        if wait := self._patience.wait(address, now):
            times = self._patience.refused(address, now)
            raise TooManyError("too many wrong tokens", times, Retry_After=str(math.ceil(wait)))
        self._patience.failed(address, now)
        log.warning("a wrong token", source=source_of(request))
        raise _stranger("this token is not known here")

    def still(self, identity: Identity) -> bool:
        """Whether who came in some time ago would be let in now."""
        if identity.expires is not None and (identity.expires <= datetime.now(UTC) or identity.csrf in self._ended):
            return False
        if identity.open:
            return self.tokens.open
        token = self.tokens.named(identity.name)
        return token is not None and token.sha256 == identity.token and token.role == identity.role

    def _alone(self, request: web.Request) -> Identity:
        if not self._loopback or self._origin is not None:  # then a proxy stands before it, and all come from it
            raise ProblemError(
                "no-tokens", "nobody has a token: make one with `hookflash token create NAME --role supervisor`"
            )
        if not is_local(request):
            raise ProblemError("no-tokens", "without any token the engine serves this machine alone")
        return Identity("local", "admin", csrf=self._sign("open"), open=True)

    # ── Sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def open_session(self, token: Token, now: datetime) -> tuple[str, Identity]:
        """The cookie of a new session, and who it is."""
        ends = (now + LASTS).replace(microsecond=0)
        name = base64.urlsafe_b64encode(token.name.encode()).decode().rstrip("=")
        told = f"{name}.{int(ends.timestamp())}.{secrets.token_urlsafe(9)}"
        cookie = f"{told}.{self._sign('session', told, token.sha256)}"
        return cookie, self._of(token, cookie, ends)

    def _session(self, cookie: str) -> Identity:
        try:
            name, ends, chance, signature = cookie.split(".")
            token = self.tokens.named(base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode())
            until = datetime.fromtimestamp(int(ends), UTC)
        except (ValueError, OverflowError, OSError):
            raise _stranger("this is no session of this engine") from None
        known = "" if token is None else token.sha256
        right = hmac.compare_digest(
            self._sign("session", f"{name}.{ends}.{chance}", known).encode(), signature.encode(errors="replace")
        )
        if token is not None and right and until > datetime.now(UTC):
            identity = self._of(token, cookie, until)
            if identity.csrf not in self._ended:
                return identity
        raise _stranger("the session is over: log in again")

    def end_session(self, identity: Identity) -> None:
        """Take a session back: its cookie is good for nothing any more, whoever has it. (A token stays good.)"""
        if identity.csrf is None or identity.expires is None:
            return
        self._ended[identity.csrf] = identity.expires
        now = datetime.now(UTC)
        while self._ended and (len(self._ended) > SESSIONS or next(iter(self._ended.values())) <= now):
            self._ended.popitem(last=False)

    def _of(self, token: Token, cookie: str, until: datetime) -> Identity:
        return Identity(token.name, token.role, self._sign("csrf", cookie), until, token=token.sha256)

    @cached_property
    def _key(self) -> bytes:
        return engine_key(self._key_file)

    def _sign(self, *words: str) -> str:
        made = hmac.new(self._key, "\0".join(words).encode(errors="surrogatepass"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    # ── May they ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def allow(self, request: web.Request, identity: Identity, right: Right | None) -> None:
        """Raises `ProblemError` when the role does not do, or a request that changes something was not made by the
        engine's own page."""
        if right is not None:
            require(identity, right)
        if identity.csrf is None or request.method in SAFE:
            return
        given = request.headers.get("X-CSRF-Token", "")
        if not hmac.compare_digest(given.encode(errors="replace"), identity.csrf.encode()):
            raise ProblemError("wrong-origin", "the header X-CSRF-Token must hold the csrf of the session")
        self.check_origin(request)

    def check_origin(self, request: web.Request) -> None:
        """Raises `ProblemError` for a page of another origin. (What is no browser names none.)"""
        origin = request.headers.get("Origin")
        if origin is None and request.headers.get("Sec-Fetch-Site") in (None, "same-origin", "none"):
            return
        own = {f"http://{request.host}", f"https://{request.host}"} | ({self._origin} if self._origin else set())
        if origin not in own:
            raise ProblemError("wrong-origin", f"the engine's own page is at {request.host}, not at {origin}")


def require(identity: Identity, right: Right) -> None:
    """Raises `ProblemError` when somebody has not this right."""
    if not identity.may(right):
        reasons = [f"this needs the role {needed(right)}; {identity.name} is {identity.role}"]
        raise ProblemError("not-allowed", "the role does not allow this", reasons)


def _stranger(why: str) -> ProblemError:
    return ProblemError("not-logged-in", why, WWW_Authenticate='Bearer realm="hookflash"')


def is_loopback(host: str) -> bool:
    """Whether who listens there is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(request: web.Request) -> bool:
    """Whether a request was made on this machine, to this machine by its name, and as far as it tells not through a
    proxy.

    The name matters: a page of another site may reach us under its own name, which its owner lets point here. So does
    the version: a bare ``proxy_pass`` of nginx says of itself nothing but HTTP/1.0, which no browser speaks.
    """
    if request.version < HttpVersion11:
        return False
    try:
        named = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(request.remote or "") and named in LOCAL and not any(name in request.headers for name in PROXIED)


def source_of(request: web.Request) -> str:
    """The address that a request came from, and the one for which a proxy says that it asks (which nobody proved)."""
    told = request.headers.get("X-Forwarded-For", "")
    printable = "".join(sign for sign in told[:100] if sign.isprintable())
    return f"{request.remote or '?'} (for {printable})" if printable else request.remote or "?"


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks TLS, with us or with the proxy before us."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def engine_key(file: Path) -> bytes:
    """The key that signs sessions; made when there is none. Where it cannot be kept, sessions end with the engine."""
    try:
        key = file.read_bytes()
        if len(key) == hashlib.sha256().digest_size:
            return key
        log.warning("the key of sessions is damaged and is made again", file=str(file))
        file.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("the key of sessions cannot be read: they end with the engine", file=str(file), reason=str(error))
        return secrets.token_bytes(32)
    key = secrets.token_bytes(32)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(key)
    except OSError as error:
        log.warning("the key of sessions cannot be kept: they end with the engine", file=str(file), reason=str(error))
    return key
