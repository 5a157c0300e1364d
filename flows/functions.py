"""The functions that expressions have beside CEL's own: what a telephone flow says, hides and dials.

Each is a plain Python function; `flows.expressions` hands them to CEL. Types are those of variables (string, integer,
number, boolean, object, array, timestamp, any). A function that refuses its arguments raises ValueError with words for
the author.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_CURRENCIES = {
    "AUD": ("Australian dollar", "cent"),
    "CAD": ("Canadian dollar", "cent"),
    "CHF": ("Swiss franc", "cent"),
    "EUR": ("euro", "cent"),
    "GBP": ("pound", "penny"),
    "USD": ("dollar", "cent"),
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the expression language: its forms (parameter types -> result type) and what it does."""

    name: str
    forms: tuple[tuple[tuple[str, ...], str], ...]
    act: Callable[..., Any]


def spell(value: Any) -> str:
    """One character after the other, for a voice to read: ``A17`` becomes ``A, 1, 7``."""
    return ", ".join(character for character in _plain(value) if not character.isspace())


def say_number(value: Any) -> str:
    """A whole number in English words: ``42`` becomes ``forty-two``."""
    number = _whole(value, "say_number")
    if number < 0:
        return "minus " + say_number(-number)
    if number < 20:
        return _ONES[number]
    if number < 100:
        rest = f"-{_ONES[number % 10]}" if number % 10 else ""
        return _TENS[number // 10] + rest
    for size, word in _SCALES:
        if number >= size:
            rest = f" {say_number(number % size)}" if number % size else ""
            return f"{say_number(number // size)} {word}{rest}"
    raise AssertionError(number)


def money(amount: Any, currency: Any) -> str:
    """An amount as a voice should read it: ``money(12.5, 'EUR')`` becomes ``12 euros and 50 cents``."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError(f"money() needs a number, not {_kind(amount)}")
    code = str(currency).upper()
    if code not in _CURRENCIES:
        return f"{amount:.2f} {code}"
    major, minor = _CURRENCIES[code]
    whole, parts = divmod(round(abs(amount) * 100), 100)
    words = [_count(whole, major)] if whole or not parts else []
    if parts:
        words.append(_count(parts, minor))
    return ("minus " if amount < 0 else "") + " and ".join(words)


def mask(value: Any, keep: Any = 4) -> str:
    """All but the last characters hidden (4 are kept): ``mask('4111111111111111')`` becomes ``************1111``."""
    text, shown = _plain(value), max(0, _whole(keep, "mask"))
    hidden = max(0, len(text) - shown)
    return "*" * hidden + text[hidden:]


def hex_of(value: Any) -> str:
    """The UTF-8 bytes as hexadecimal digits, as User-to-User wants them (RFC 7433)."""
    return _plain(value).encode().hex()


def digits(value: Any) -> str:
    """Only the digits of a text: ``+1 (415) 555`` becomes ``1415555``."""
    return "".join(re.findall(r"[0-9]", _plain(value)))


def e164(value: Any, country: Any = "") -> str:
    """A telephone number as E.164: ``+14155550100``. National numbers need the country's code: ``e164('0711
    123456', '49')``."""
    text = re.sub(r"[\s()./-]", "", _plain(value))
    if text.startswith("00"):
        text = "+" + text[2:]
    elif not text.startswith("+") and country:
        text = f"+{str(country).lstrip('+')}{text.removeprefix('0')}"
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", text):
        raise ValueError(f"'{value}' is not a telephone number that e164() can complete")
    return text


def default(value: Any, otherwise: Any) -> Any:
    """The value, or the other one when it has none yet (null or an empty string)."""
    return otherwise if value is None or value == "" else value


def _count(number: int, word: str) -> str:
    if number == 1:
        return f"1 {word}"
    return f"{number} {'pence' if word == 'penny' else word + 's'}"


def _plain(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"needs a text or a number, not {_kind(value)}")
    return format(value, "g") if isinstance(value, float) else str(value)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{name}() needs a whole number, not {_kind(value)}")
    if abs(value) >= 10**15:
        raise ValueError(f"{name}() reads numbers below 10^15")
    return int(value)


def _kind(value: Any) -> str:
    if value is None:
        return "a value that is not set yet"
    kinds = {str: "a text", dict: "an object", list: "a list", bool: "a boolean", float: "a fraction"}
    return kinds.get(type(value), "this value")


_TEXT_OR_NUMBER = ("string", "integer", "number")

FUNCTIONS: tuple[Function, ...] = (
    Function("spell", tuple(((kind,), "string") for kind in _TEXT_OR_NUMBER), spell),
    Function("say_number", ((("integer",), "string"),), say_number),
    Function("money", ((("number", "string"), "string"), (("integer", "string"), "string")), money),
    Function("mask", ((("string",), "string"), (("string", "integer"), "string")), mask),
    Function("hex", ((("string",), "string"),), hex_of),
    Function("digits", ((("string",), "string"),), digits),
    Function("e164", ((("string",), "string"), (("string", "string"), "string")), e164),
    Function(
        "default",
        tuple(
            ((kind, kind), kind) for kind in ("string", "integer", "number", "boolean", "object", "array", "timestamp")
        ),
        default,
    ),
)
"""Every function that needs nothing but its arguments. ``is_open`` and ``next_open`` come with the calendars."""
