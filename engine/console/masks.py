"""What a viewer does not see of numbers and texts."""

from __future__ import annotations

import re
from typing import Final

DOT: Final = "•"
_DIGITS: Final = re.compile(r"\d(?:[\s.,/()-]*\d)+")  # also such as people write and recognisers hear: 4111 1111, 12.5
_NUMBER: Final = re.compile(r"\+?\d{5,}")


def number(written: str) -> str:
    """A telephone number of which the beginning and the last three digits stay: ``+1•••••••199``."""
    digits = written.lstrip("+")
    if not digits:
        return written
    plus = "+" if written.startswith("+") else ""
    if len(digits) < 7:
        return plus + DOT * len(digits)
    return plus + digits[0] + DOT * (len(digits) - 4) + digits[-3:]


def text(said: str) -> str:
    """A text without digits that stand together: two or more could be a part of a number, a date, a price."""
    return _DIGITS.sub(DOT * 3, said)


def target(written: str) -> str:
    """A target whose telephone number is masked; a name stays: ``pjsip:front-desk``, ``tel:+1•••••••100``."""
    return _NUMBER.sub(lambda found: number(found[0]), written)
