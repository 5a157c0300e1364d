"""Places in an author's files and what is wrong there. Everything the language has to say to a person passes
through here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file: line and column count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Where("<flow>", 1, 1)
"""The place of what was not written in a file (a field given by a program or a test)."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake (or doubt) in one place. ``code`` is stable and explained in docs/errors.md."""

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str

    @classmethod
    def at(cls, where: Where, code: str, message: str) -> Problem:
        """A problem at a place; codes that start with ``W`` are warnings, all others errors."""
        severity: Severity = "warning" if code.startswith("W") else "error"
        return cls(where.file, where.line, where.column, severity, code, message)

    @property
    def where(self) -> Where:
        """The place of the problem."""
        return Where(self.file, self.line, self.column)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}]: {self.message}"


class MistakeError(ValueError):
    """A mistake found by a field's validator. It knows its place better than the field's key does."""

    def __init__(self, where: Where, code: str, message: str) -> None:
        super().__init__(message)
        self.where = where
        self.code = code
        self.message = message

    @property
    def problem(self) -> Problem:
        """The mistake as a problem to report."""
        return Problem.at(self.where, self.code, self.message)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something that is right by itself, but not where it stands. ``path`` leads to its key from where it is judged;
    empty: it is the whole. ``beside``: other keys there that it does not go with."""

    message: str
    path: tuple[str | int, ...] = ()
    beside: tuple[str, ...] = ()
    code: str = "E203"


class MisfitError(ValueError):
    """What a validator of a verb's fields raises when they do not fit together: all of it at once, each at its key."""

    def __init__(self, *found: Misfit) -> None:
        super().__init__("; ".join(misfit.message for misfit in found))
        self.found = found


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the nearest known word, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def has(known: Iterable[str]) -> str:
    """`` (has: a, b)``: the known words in order, or `` (there is none)``."""
    words = ", ".join(sorted(known))
    return f" (has: {words})" if words else " (there is none)"
