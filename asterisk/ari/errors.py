"""What can go wrong between us and ARI, as types.

AriError                 anything below
├── BadRequest           400  a parameter is missing or wrong
├── Unauthorized         401  user or password is wrong (or the user is not in ari.conf)
├── Forbidden            403  the user is read-only
├── NotFound             404  no such channel, bridge, …; often: hung up meanwhile
├── Conflict             409  the object is in the wrong state, or its id is taken
├── PreconditionFailed   412  the channel's state does not allow it
├── NotInStasis          422  the channel is not (yet, or no longer) in a Stasis application
├── ServerError          5xx  Asterisk refused for a reason of its own; its log knows more
├── BadResponse          the answer is not what ARI answers (another server? a proxy?)
├── Unreachable          no connection, or it broke before the answer
├── Timeout              no answer in time; the request may still take effect
└── Replaced             another client registered our application name; events go there now
"""
# These names read as httpx's do, without an Error suffix: `except ari.NotFound`.
# ruff: noqa: N818

from __future__ import annotations

import json


class AriError(Exception):
    """A request to ARI failed: `status` (0 without an answer), Asterisk's own `message`, `method` and `path`."""

    def __init__(self, status: int, message: str, method: str, path: str) -> None:
        super().__init__(status, message, method, path)
        self.status = status
        self.message = message
        self.method = method
        self.path = path

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {f'{self.status} ' if self.status else ''}{self.message}"


class BadRequest(AriError):
    """400: a parameter is missing or wrong."""


class Unauthorized(AriError):
    """401: the user or the password is wrong; compare with ari.conf."""


class Forbidden(AriError):
    """403: the user may only read; `read_only=no` in ari.conf lets it act."""


class NotFound(AriError):
    """404: there is no such object (any more)."""


class Conflict(AriError):
    """409: the object is in the wrong state for this, or the id is taken."""


class PreconditionFailed(AriError):
    """412: the channel's state does not allow this."""


class NotInStasis(AriError):
    """422: the channel is not in a Stasis application: wait for its StasisStart, or it has left."""


class ServerError(AriError):
    """5xx: Asterisk could not do it; a refused connection of external media and a bad format end here too."""


class BadResponse(AriError):
    """The answer is not JSON where ARI answers JSON: this is probably not Asterisk."""


class Unreachable(AriError):
    """No connection, or it was closed before the answer came."""


class Timeout(AriError):
    """No answer in time. What was asked may still happen: look before asking again."""


class Replaced(AriError):
    """Another client connected with our application name; Asterisk sends the events there. We do not fight."""


_BY_STATUS = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    422: NotInStasis,
}


def error_for(status: int, body: bytes, reason: str, method: str, path: str) -> AriError:
    """The error for an answer of `status`. Asterisk's text is in `{"message": …}` or `{"error": …}`."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else AriError)
    return kind(status, _text(body) or reason or "no reason given", method, path)


def _text(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace").strip()
    if isinstance(told, dict):
        told = told.get("message") or told.get("error") or ""
    return str(told)[:500]
