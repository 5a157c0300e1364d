"""One layout for the files of flows: block style, two spaces, comments and order as they were.

The text is written anew from the parser's events; what a value is, is never touched: a scalar keeps its quotes, a block
of text its lines. Comments are found in the gaps between the scalars and put back by their place (`flows.remarks`). At
the end both texts are read, and a layout that would change a value is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from flows import reader, remarks
from flows.problems import Problem, Where
from flows.syntax import span_of

_HEADER = re.compile(r"([|>])([-+0-9]*)[ \t]*(?:#.*)?(?:\n|$)")
_MARK = re.compile(r"(?:-|---|\.\.\.)(?:\s|$)")  # a text where it stands, but not at the beginning of a row
_RARE_BREAK = re.compile("[\x85\u2028\u2029]")  # line ends to YAML 1.1, and to nobody else
_STEP = 2


class UnformattableError(ValueError):
    """The file cannot be laid out; ``problems`` say why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Line:
    """One line of the new text: ``lead`` holds its dashes, ``more`` the further rows of a long scalar. ``start`` and
    ``end`` are where its parts stood in the old text."""

    indent: int  # of the text; the dashes of the lead stand before it
    lead: str
    text: str
    start: int
    end: int
    more: list[str] = field(default_factory=list)
    block: int = 0  # the indentation of a text in YAML's block style: what stands so deep is text; 0: it is none
    keeps_blanks: bool = False  # … to which blank rows at its end belong, too
    tail: str = ""  # the comment behind it
    before: list[str] = field(default_factory=list)  # rows above it: comments and blank ones
    after: list[str] = field(default_factory=list)  # rows below the last line of a file

    @property
    def dash(self) -> int:
        """The column at which the row begins."""
        return self.indent - len(self.lead)

    @property
    def inner(self) -> int:
        """The deepest column at which a comment below it can begin."""
        return self.dash if 0 < self.block <= self.indent else self.indent

    def rows(self) -> Iterator[str]:
        """The rows as they are written."""
        yield from self.before
        tail = f"  {self.tail}" if self.tail else ""
        first = " " * self.dash + self.lead + self.text
        if self.more and not self.block:
            yield first
            yield from self.more[:-1]
            yield self.more[-1] + tail
        else:
            yield first + tail
            yield from self.more
        yield from self.after


def layout(file: str, data: bytes) -> bytes:
    """A file's content in the one layout. Raises `UnformattableError` when it is not a YAML file that the language
    reads (values may be wrong all the same)."""
    tree, problems = reader.read(file, data)
    if any(problem.code not in ("E103", "E105") for problem in problems):
        raise UnformattableError(problems)
    text = re.sub(r"\r\n?", "\n", data.decode("utf-8-sig"))
    if rare := _RARE_BREAK.search(text):
        where = reader.Document(file, text).where(rare.start())
        message = f"a line ends with U+{ord(rare[0]):04X}, which hardly any editor shows; use ordinary line ends"
        raise UnformattableError([Problem.at(where, "E102", message)])
    writer = _Writer(text)
    writer.write()
    remarks.place(text, writer.scalars, writer.lines)
    if not writer.lines:
        return data
    result = "".join(f"{row}\n" for line in writer.lines for row in line.rows())
    again, left = reader.read(file, result.encode())
    if again != tree or _types(again) != _types(tree) or len(left) != len(problems):
        message = "the layout would change what this file says, so it was left alone"
        raise UnformattableError([Problem.at(Where(file, 1, 1), "E102", message)])
    return result.encode()


def _types(tree: Any) -> Any:
    """``1``, ``1.0`` and ``true`` are equal to Python and not to a flow."""
    if isinstance(tree, dict):
        return [(key, _types(value)) for key, value in tree.items()]
    return [_types(value) for value in tree] if isinstance(tree, list) else type(tree)


class _Writer:
    """Turns the parser's events into lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: list[Line] = []
        self.scalars: list[tuple[int, int]] = []  # where no comment can be
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        self._next: Any = None

    def write(self) -> None:
        """All lines of the document."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._node(0, "", "", None)
                return

    def _take(self) -> Any:
        event, self._next = self._next or next(self._events), None
        return event

    def _peek(self) -> Any:
        self._next = self._next or next(self._events)
        return self._next

    def _node(self, indent: int, lead: str, head: str, start: int | None) -> None:
        """The next value. ``head`` is its key, which begins at ``start``; ``lead`` the dashes before it."""
        event = self._take()
        begin = event.start_mark.index if start is None else start
        if isinstance(event, yaml.AliasEvent):
            self._line(indent, lead, _joined(head, f"*{event.anchor}"), begin, event)
            return
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(indent, lead, head, begin, event)
            return
        opened = _joined(head, f"&{event.anchor}" if event.anchor else "")
        is_map = isinstance(event, yaml.MappingStartEvent)
        if isinstance(self._peek(), yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._line(indent, lead, _joined(opened, "{}" if is_map else "[]"), begin, self._take())
            return
        if opened:
            self._line(indent, lead, opened, begin, event)
            lead = ""
        if head:
            indent += _STEP
        (self._mapping if is_map else self._sequence)(indent, lead)

    def _mapping(self, indent: int, lead: str) -> None:
        while not isinstance(self._peek(), yaml.MappingEndEvent):
            key = self._take()
            start, end = span_of(key, self.text)
            raw = self.text[start:end]
            self.scalars.append((start, end))
            if not raw or "\n" in raw or key.style in ("|", ">"):
                raw = _quoted(key.value)
            self._node(indent, lead, _joined(f"&{key.anchor}" if key.anchor else "", f"{raw}:"), key.start_mark.index)
            lead = ""
        self._take()

    def _sequence(self, indent: int, lead: str) -> None:
        while not isinstance(self._peek(), yaml.SequenceEndEvent):
            self._node(indent + _STEP, f"{lead}- ", "", None)
            lead = ""
        self._take()

    def _scalar(self, indent: int, lead: str, head: str, begin: int, event: Any) -> None:
        # The further rows stand deeper than the key, or than the dash: then `indent` is behind the dash already.
        deeper = indent + _STEP if head else max(indent, _STEP)
        head = _joined(head, f"&{event.anchor}" if event.anchor else "")
        if event.style in ("|", ">"):
            self._block(indent, lead, head, begin, event, deeper)
            return
        start, end = span_of(event, self.text)
        self.scalars.append((start, end))
        first, *further = self.text[start:end].split("\n")
        first = first if event.style else first.rstrip()
        if not event.style and _MARK.match(first):
            first, further = _quoted(event.value), []
        line = self._line(indent, lead, _joined(head, first), begin, event)
        line.more = [" " * deeper + (row.lstrip() if event.style else row.strip()) for row in further]
        line.more = [row if row.strip() else "" for row in line.more]

    def _block(self, indent: int, lead: str, head: str, begin: int, event: Any, deeper: int) -> None:
        start, end = span_of(event, self.text)
        header = _HEADER.match(self.text, start)
        assert header is not None, "libyaml found a block of text here"
        self.scalars.append((header.end(), end))
        raw = self.text[header.end() : end]
        rows = raw.removesuffix("\n").split("\n") if raw else []
        inner, extra = _text_indents(rows, event.value)
        rows = [row[inner:] for row in rows]
        ended = event.value.endswith("\n")
        keeps = "+" in header[2] and (ended or not event.value)
        if not keeps:
            while rows and not rows[-1]:
                rows.pop()
        sign = "+" if keeps else "" if ended else "-"
        text = _joined(head, header[1] + (str(_STEP) if extra else "") + sign)
        line = self._line(indent, lead, text, begin, event)
        line.more = [" " * deeper + row if row else "" for row in rows]
        line.block, line.keeps_blanks, line.end = deeper, keeps, header.start()

    def _line(self, indent: int, lead: str, text: str, start: int, last: Any) -> Line:
        opens = isinstance(last, yaml.MappingStartEvent | yaml.SequenceStartEvent)
        line = Line(indent, lead, text, start, start if opens else last.end_mark.index)
        self.lines.append(line)
        return line


def _joined(head: str, text: str) -> str:
    return f"{head} {text}" if head and text else head or text


def _quoted(value: str) -> str:
    """A key, or a text, in double quotes on one row."""
    dumped: str = yaml.dump(value, Dumper=yaml.CSafeDumper, default_style='"', allow_unicode=True, width=10**9)
    return dumped.rstrip("\n")


def _text_indents(rows: list[str], value: str) -> tuple[int, int]:
    """How far a block of text is indented, and how many spaces of its own its first row has beyond that."""
    raw = next((row for row in rows if row.strip(" ")), None)
    if raw is None:
        return max(map(len, rows), default=0), 0
    own = next(row for row in value.split("\n") if row.strip(" "))
    extra = len(own) - len(own.lstrip(" "))
    return len(raw) - len(raw.lstrip(" ")) - extra, extra
