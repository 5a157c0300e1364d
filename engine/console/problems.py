"""Errors of the API as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from engine.console.models import Problem

KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "bad-request": (400, "The request is not right"),
    "not-logged-in": (401, "Not logged in"),
    "not-allowed": (403, "Not allowed"),
    "wrong-origin": (403, "Not from the engine's own page"),
    "no-tokens": (403, "Nobody may come in"),
    "not-found": (404, "Not found"),
    "wrong-method": (405, "Wrong method"),
    "not-possible": (409, "Not possible now"),
    "key-in-use": (409, "The key was used for another request"),
    "too-large": (413, "The body is too large"),
    "not-json": (415, "The body is not JSON"),
    "too-many": (429, "Too many attempts"),
    "failed": (500, "The engine failed"),
    "no-audit": (503, "The audit log cannot be written"),
    "no-records": (503, "The database does not answer"),
}
"""What can go wrong: the end of the problem's type, its status and its title."""


class ProblemError(Exception):
    """A request that is not served. ``kind`` is one of `KINDS`; ``headers`` go with the answer."""

    def __init__(self, kind: str, detail: str, reasons: Sequence[str] = (), **headers: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.reasons = list(reasons)
        self.status, self.title = KINDS[kind]
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def model(self) -> Problem:
        """As it is answered."""
        return Problem(
            type=f"urn:hookflash:problem:{self.kind}", title=self.title, status=self.status, detail=self.detail,
            reasons=self.reasons,
        )  # fmt: skip
