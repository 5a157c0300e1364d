"""Which numbers a flow may dial: rules of `resources.yaml`, for targets that a file, an expression or a model chose.

What is judged is what will be dialled, however it is written. What cannot be judged is refused: a number behind a
prefix of the telephone system (``9.1900…``, ``*31*…``, ``00…``) may be any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from flows.targets import GROUP, TargetError, read_target

NUMBERS: Final = re.compile(r"\+?[0-9]*\*?")
"""What can be denied: a number, or a beginning with ``*``."""
NAMED: Final = re.compile(rf"{NUMBERS.pattern}|(?=.*[0-9])[A-Za-z0-9*][A-Za-z0-9_.*-]{{0,63}}")
"""What can be allowed: the same, and users with prefixes, such as ``9.1415*``."""

_DIGITS_OF_A_NAME = 6  # `room-101` is a name; what has more digits may be a number behind a letter


@dataclass(frozen=True, slots=True)
class Dialling:
    """Beginnings of numbers, such as ``+1415*``, or whole numbers. What is denied is denied, whatever is allowed."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()

    def refusal(self, target: str) -> str:
        """Why a target may not be dialled; "" when it may be. What is no number (an endpoint, a Teams user) may be."""
        if self == Dialling():
            return ""
        user = _dialled(target)
        if user is None:
            return ""
        denied = next((pattern for pattern in self.deny if _fits(user, pattern)), None)
        if denied is not None:
            return f"{user} may not be dialled: resources.yaml denies {denied}"
        if user.startswith("+"):
            if not any(_fits(user, pattern) for pattern in self.allow):
                return f"{user} may not be dialled: resources.yaml allows {', '.join(self.allow) or 'no number'}"
        elif not any(_fits(user, pattern) for pattern in self.allow if pattern != "*"):
            return (
                f"{user} may not be dialled: without + at its beginning it cannot be judged, and 'allow' in "
                f"resources.yaml does not name it (it allows {', '.join(self.allow) or 'no number'})"
            )
        return ""


def _dialled(target: str) -> str | None:
    """The user whom the other side will be asked for when it may be a number; None when it is none."""
    if ":" not in target and not target.startswith("+"):
        return None  # the name of a destination
    if target.startswith(GROUP):
        return None  # whose members are judged
    try:
        read = read_target(target if ":" in target else f"tel:{target}")
    except TargetError:  # the line will not dial it; if one does, it is judged by all that it holds
        user = target.partition(":")[2].partition("@")[0] or target
        return user.encode("unicode_escape").decode() if any(map(str.isdigit, target)) else None
    if any(map(str.isalpha, read.user)):
        many = sum(map(str.isdigit, read.user)) > _DIGITS_OF_A_NAME
        return read.user if many and read.kind != "teams" else None
    return read.user if any(map(str.isdigit, read.user)) else None


def _fits(number: str, pattern: str) -> bool:
    return number.startswith(pattern[:-1]) if pattern.endswith("*") else number == pattern
