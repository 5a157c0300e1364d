"""YAML as the language reads it: every value knows its place, nothing is guessed, and a hostile file is refused early.

The parser is libyaml's (through PyYAML); what a plain word means is decided here, by the JSON grammar: numbers,
``true``, ``false`` and ``null`` are what they look like, everything else is a string. So ``0800…``, ``+1415…`` and
``12:30`` stay strings (PyYAML would read 12:30 as 750). The tree is built from parser events with a stack of our own,
so depth and size have bounds.
"""

from __future__ import annotations

import bisect
import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from flows.problems import NOWHERE, MistakeError, Problem, Where
from flows.syntax import span_of, syntax_problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_VALUES = 100_000
MAX_ALIASES = 100

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BREAK = re.compile(r"\r\n|\r|\n")  # as editors count lines; YAML 1.1 also ends them at U+0085, U+2028 and U+2029
_YAML_1_1_BOOLEANS = frozenset({
    "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N",
})  # fmt: skip
_CONSTANTS = {"": None, "null": None, "~": None, "true": True, "false": False}


class Document:
    """The text of one file and the way from an index in it to line and column."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts = [0, *(found.end() for found in _BREAK.finditer(text))]

    def where(self, index: int) -> Where:
        """The place of a character of the text."""
        line = bisect.bisect_right(self._starts, index)
        return Where(self.file, line, index - self._starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line (they count from 1) without its end; nothing when there is no such line."""
        if not 1 <= number <= len(self._starts):
            return ""
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[self._starts[number - 1] : end].rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Scalar:
    """Where a string stands in its document (``start`` to ``end``) and how it was written (YAML's style character)."""

    document: Document
    start: int
    end: int
    style: str | None


class Str(str):
    """A string with its place."""

    where: Where = NOWHERE
    scalar: Scalar | None = None

    def at(self, offset: int) -> Where:
        """The place in the file of the character at this offset of the string, whatever the YAML style."""
        if self.scalar is None:
            return self.where
        return self.scalar.document.where(_raw_index(self, self.scalar, offset))


class Map(dict[str, Any]):
    """A mapping with its place, the place of each key and each value, and its path in the document."""

    def __init__(self, where: Where = NOWHERE, path: str = "") -> None:
        super().__init__()
        self.where = where
        self.path = path
        self.key_at: dict[str, Where] = {}
        self.value_at: dict[str, Where] = {}

    def put(self, key: str, value: Any, key_at: Where, value_at: Where) -> None:
        """Add a pair with its places."""
        self[key] = value
        self.key_at[key] = key_at
        self.value_at[key] = value_at


class Seq(list[Any]):
    """A list with its place, the place of each item, and its path in the document."""

    def __init__(self, where: Where = NOWHERE, path: str = "") -> None:
        super().__init__()
        self.where = where
        self.path = path
        self.value_at: list[Where] = []


def where_of(value: Any, otherwise: Where = NOWHERE) -> Where:
    """The place of a value, or of what holds it (numbers and booleans do not know theirs)."""
    found = getattr(value, "where", None)
    return found if isinstance(found, Where) else otherwise


def read(file: str, data: bytes) -> tuple[Any, list[Problem]]:
    """Read one YAML document. Returns the tree (None when it cannot be read) and everything that is wrong with the
    file."""
    start = Where(file, 1, 1)
    if len(data) > MAX_BYTES:
        return None, [Problem.at(start, "E101", f"the file has more than {MAX_BYTES:,} bytes")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        sound = error.object[: error.start].decode()  # without the mark at the beginning, as in `text`
        where = Document(file, sound).where(len(sound))
        return None, [Problem.at(where, "E101", "the file is not UTF-8; save it as UTF-8")]
    builder = _Builder(Document(file, text))
    try:
        tree = builder.build()
    except MistakeError as mistake:
        return None, [*builder.problems, mistake.problem]
    except yaml.YAMLError as error:
        return None, [*builder.problems, syntax_problem(builder.document, error, builder.last)]
    return tree, builder.problems


def _written(tag: str) -> str:
    """A tag as authors write it."""
    return tag.replace("tag:yaml.org,2002:", "!!", 1)


class _Builder:
    """Builds the located tree from the parser's events."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.last: Any = None  # the event that came last
        self._stack: list[Map | Seq] = []
        self._keys: list[tuple[str, Where] | None] = []  # beside the stack: the key that waits for its value
        self._anchors: dict[str, Any] = {}
        self._values = 0
        self._aliases = 0
        self._root: Any = None

    def build(self) -> Any:
        documents = 0
        for event in yaml.parse(self.document.text, Loader=yaml.CSafeLoader):
            self.last = event
            where = self.document.where(event.start_mark.index) if event.start_mark else NOWHERE
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event, where)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._open(event, where)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._stack.pop()
                self._keys.pop()
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, where)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise MistakeError(where, "E102", "a file holds one document; remove the '---' or split the file")
        return self._root

    def _scalar(self, event: Any, where: Where) -> None:
        if event.tag is not None:
            raise MistakeError(where, "E102", f"tags are not used here; remove '{_written(event.tag)}'")
        plain = event.style is None or event.style == ""
        if plain and event.value == "<<" and self._expects_key():
            message = "'<<' merges mappings in YAML 1.1 only: write the keys themselves, or repeat steps by a section"
            raise MistakeError(where, "E102", message)
        if plain and event.value in _YAML_1_1_BOOLEANS:
            message = f"unquoted '{event.value}' is a boolean to many YAML tools: write true or false, or quote it"
            self.problems.append(Problem.at(where, "E105", message))
        if self._expects_key():
            self._keys[-1] = (event.value, where)
            return
        value: Any
        if plain and (number := _NUMBER.fullmatch(event.value)):
            value = _number(event.value, number)
        elif plain and event.value in _CONSTANTS:
            value = _CONSTANTS[event.value]
        else:
            value = event.value
        if isinstance(value, str):
            value = Str(value)
            value.where = where
            value.scalar = Scalar(self.document, *span_of(event, self.document.text), event.style)
        self._place(value, where, event.anchor)

    def _open(self, event: Any, where: Where) -> None:
        if event.tag is not None:
            raise MistakeError(where, "E102", f"tags are not used here; remove '{_written(event.tag)}'")
        if self._expects_key():
            hint = "; quote a value that starts with '{{' or '{'" if event.flow_style else ""
            raise MistakeError(where, "E102", f"a key must be a word, not a mapping or list{hint}")
        if len(self._stack) >= MAX_DEPTH:
            raise MistakeError(where, "E104", f"nested more than {MAX_DEPTH} deep")
        path = self._next_path()
        box = Map(where, path) if isinstance(event, yaml.MappingStartEvent) else Seq(where, path)
        self._place(box, where, event.anchor)
        self._stack.append(box)
        self._keys.append(None)

    def _alias(self, event: Any, where: Where) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise MistakeError(where, "E104", f"more than {MAX_ALIASES} aliases")
        if self._expects_key():
            raise MistakeError(where, "E102", "an alias cannot be a key")
        if event.anchor not in self._anchors:
            raise MistakeError(where, "E102", f"unknown alias '*{event.anchor}'")
        value = self._anchors[event.anchor]
        if any(value is holder for holder in self._stack):
            raise MistakeError(where, "E104", f"'*{event.anchor}' stands inside of what it repeats")
        self._place(self._copy(value, self._next_path(), where, len(self._stack)), where, None)

    def _copy(self, value: Any, path: str, where: Where, depth: int) -> Any:
        """A repeated value keeps its places but has a path of its own, since a step's path is its identity."""
        if depth > MAX_DEPTH:
            raise MistakeError(where, "E104", f"nested more than {MAX_DEPTH} deep")
        if isinstance(value, Map):
            copied = Map(value.where, path)
            for key, item in value.items():
                self._count(where)
                copy = self._copy(item, f"{path}/{key}", where, depth + 1)
                copied.put(key, copy, value.key_at[key], value.value_at[key])
            return copied
        if isinstance(value, Seq):
            items = Seq(value.where, path)
            items.value_at = list(value.value_at)
            for index, item in enumerate(value):
                self._count(where)
                items.append(self._copy(item, f"{path}/{index}" if path else str(index), where, depth + 1))
            return items
        return value

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1], Map) and self._keys[-1] is None

    def _next_path(self) -> str:
        if not self._stack:
            return ""
        holder, key = self._stack[-1], self._keys[-1]
        name = key[0] if key else str(len(holder))
        return f"{holder.path}/{name}" if holder.path else name

    def _count(self, where: Where) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise MistakeError(where, "E104", f"more than {MAX_VALUES:,} values in one file")

    def _place(self, value: Any, where: Where, anchor: str | None) -> None:
        self._count(where)
        if anchor:
            self._anchors[anchor] = value
        if not self._stack:
            self._root = value
            return
        holder = self._stack[-1]
        if isinstance(holder, Seq):
            holder.append(value)
            holder.value_at.append(where)
            return
        waiting = self._keys[-1]
        assert waiting is not None
        key, key_at = waiting
        self._keys[-1] = None
        if key in holder:
            first = holder.key_at[key]
            self.problems.append(Problem.at(key_at, "E103", f"key '{key}' stands twice (first in line {first.line})"))
            return
        holder.put(key, value, key_at, where)


def _number(text: str, match: re.Match[str]) -> int | float | str:
    """A JSON number; what does not fit 64 bits stays the string that it was (an account number, most likely)."""
    if match.group(1) or match.group(2):
        number = float(text)
        return number if math.isfinite(number) else text
    return int(text) if len(text) <= 18 else text


def _raw_index(value: str, scalar: Scalar, offset: int) -> int:
    """The index in the document of the character at ``offset`` of a scalar's value.

    Value and raw text hold the same visible characters in the same order; they differ in white space (folding and
    indentation), doubled single quotes and backslash escapes, and these three are what this walk knows.
    """
    raw, index, style = scalar.document.text, scalar.start, scalar.style
    if style in ("|", ">"):
        head = _BREAK.search(raw, index, scalar.end)
        index = head.end() if head else index
    elif style in ("'", '"'):
        index += 1
    for character in value[:offset]:
        index = _skip_blank(raw, index, scalar) if not character.isspace() else index
        index = _after(raw, index, style, character)
    return _skip_blank(raw, index, scalar) if offset < len(value) and not value[offset].isspace() else index


def _skip_blank(raw: str, index: int, scalar: Scalar) -> int:
    while index < scalar.end:
        if raw[index].isspace():
            index += 1
        elif scalar.style == '"' and raw[index] == "\\" and raw[index + 1 : index + 2] in ("\n", "\r"):
            index += 2
        else:
            break
    return index


def _after(raw: str, index: int, style: str | None, character: str) -> int:
    """The index behind one character of the value."""
    if style == '"' and raw.startswith("\\", index):
        return index + {"x": 4, "u": 6, "U": 10}.get(raw[index + 1 : index + 2], 2)
    if style == "'" and character == "'":
        return index + 2
    if character.isspace() and not raw[index : index + 1].isspace():
        return index
    return index + 1
