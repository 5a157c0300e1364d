"""YAML as `hookflash fmt` lays it out, with notes in it for who has to fill something in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*( [A-Za-z0-9_/-]+)*")
_DURATION: Final = re.compile(r"[0-9]+(ms|s)")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Noted:
    """A value, and what whoever reads the file must know of it."""

    value: Any
    note: str


def written(document: Mapping[str, Any]) -> str:
    """A document of mappings, lists and scalars in block style."""
    return "\n".join(_mapping(document, 0)) + "\n"


def _mapping(value: Mapping[str, Any], indent: int) -> Iterator[str]:
    for key, item in value.items():
        yield from _entry(f"{scalar(str(key))}:", item, indent)


def _entry(head: str, item: Any, indent: int) -> Iterator[str]:
    """``key: value``, or ``key:`` and the value below."""
    lead = " " * indent
    if isinstance(item, Noted):
        yield f"{lead}# note: {_one_line(item.note)}"
        item = item.value
    if isinstance(item, Mapping) and item:
        yield f"{lead}{head}"
        yield from _mapping(item, indent + 2)
    elif isinstance(item, list | tuple) and item:
        yield f"{lead}{head}"
        yield from _list(item, indent + 2)
    else:
        yield f"{lead}{head} {scalar(item)}"


def _list(items: list[Any] | tuple[Any, ...], indent: int) -> Iterator[str]:
    lead = " " * indent
    for item in items:
        if isinstance(item, Noted):
            yield f"{lead}# note: {_one_line(item.note)}"
            item = item.value
        inner = _mapping(item, indent + 2) if isinstance(item, Mapping) and item else None
        if inner is None and isinstance(item, list | tuple) and item:
            inner = _list(item, indent + 2)
        if inner is None:
            yield f"{lead}- {scalar(item)}"
            continue
        lines = list(inner)
        first = next(index for index, line in enumerate(lines) if not line.lstrip().startswith("# "))
        yield from (f"{lead}{line.strip()}" for line in lines[:first])
        yield f"{lead}- {lines[first].lstrip()}"
        yield from lines[first + 1 :]


def scalar(value: Any) -> str:
    """A value as YAML that the language reads as the same value."""
    if isinstance(value, str):
        is_word = _PLAIN.fullmatch(value) and value.lower() not in _WORDS and len(value) < 80
        is_plain = is_word or _DURATION.fullmatch(value)
        return value if is_plain else "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))
    return json.dumps(value, default=str)


def _escaped(letter: str) -> str:
    """A letter as it may stand in a quoted text: YAML takes no unassigned ones, and no halves of pairs at all."""
    if letter.isprintable():
        return letter
    return "\ufffd" if "\ud800" <= letter <= "\udfff" else f"\\U{ord(letter):08x}"


def seconds(value: float) -> str:
    """A duration, to the millisecond."""
    ms = max(0, round(value * 1000))
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
