"""Which numbers a flow may dial: rules of `resources.yaml`, for targets that a file, an expression or a model chose."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"(?:tel:|pjsip:|sip:)?(\+?[0-9]{3,15})(?:@.*)?")
PATTERN = re.compile(r"\+?[0-9]*\*?")


@dataclass(frozen=True, slots=True)
class Dialling:
    """Beginnings of numbers, such as ``+1415*``, or whole numbers. What is denied is denied, whatever is allowed."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()

    def refusal(self, target: str) -> str:
        """Why a target may not be dialled; "" when it may be. What is no number (an endpoint, a Teams user) may be."""
        found = _NUMBER.fullmatch(target)
        if found is None:
            return ""
        number = found[1]
        denied = next((pattern for pattern in self.deny if _fits(number, pattern)), None)
        if denied is not None:
            return f"{number} may not be dialled: resources.yaml denies {denied}"
        if not any(_fits(number, pattern) for pattern in self.allow):
            return f"{number} may not be dialled: resources.yaml allows {', '.join(self.allow) or 'no number'}"
        return ""


def _fits(number: str, pattern: str) -> bool:
    return number.startswith(pattern[:-1]) if pattern.endswith("*") else number == pattern
