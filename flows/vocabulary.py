"""The words of CEL that an author may have meant: its functions, methods and macros, for the sake of suggestions.

Source: https://github.com/google/cel-spec (doc/langdef.md) and the extensions strings, math and optional that
`flows.expressions` turns on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FUNCTIONS = (
    "size", "int", "uint", "double", "string", "bool", "bytes", "timestamp", "duration", "type", "dyn", "has",
    "matches",
)  # fmt: skip
METHODS = (
    "contains", "startsWith", "endsWith", "matches", "size", "charAt", "indexOf", "lastIndexOf", "lowerAscii",
    "upperAscii", "replace", "split", "substring", "trim", "join", "getFullYear", "getMonth", "getDate",
    "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds",
    "orValue", "hasValue",
)  # fmt: skip
MACROS = ("map", "filter", "all", "exists", "exists_one")
MATH = ("greatest", "least", "ceil", "floor", "round", "trunc", "abs", "sign", "isNaN", "isInf", "isFinite")
ELSEWHERE = {
    "length": "size", "len": "size", "count": "size",
    "tolower": "lowerAscii", "lower": "lowerAscii", "upper": "upperAscii",
    "tolowercase": "lowerAscii", "toupper": "upperAscii", "touppercase": "upperAscii", "strip": "trim",
    "includes": "contains", "str": "string", "tostring": "string", "number": "double", "float": "double",
    "max": "math.greatest", "min": "math.least",
    "any": "exists", "some": "exists", "every": "all",
}  # fmt: skip
"""What other languages call it."""


def meant(name: str, own: Iterable[str]) -> str | None:
    """The function or method that an unknown name is likely to be meant for; ``own`` are those beside CEL's."""
    known = {word.lower(): word for word in (*own, *FUNCTIONS, *METHODS, *MACROS)}
    known |= {word.lower(): f"math.{word}" for word in MATH}
    if name.lower() in known:
        return known[name.lower()]
    if name.lower() in ELSEWHERE:
        return ELSEWHERE[name.lower()]
    near = difflib.get_close_matches(name.lower(), [*known, *ELSEWHERE], n=1, cutoff=0.6)
    return (known.get(near[0]) or ELSEWHERE[near[0]]) if near else None
