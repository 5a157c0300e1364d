"""Comments of a YAML file: found in the old text, and put to the lines of the new one."""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.layout import Line

_COMMENT = re.compile(r"#[^\n]*")  # outside of scalars libyaml wants no space before it
_DASHES = re.compile(r"[ ]*(?:-[ ]+)*")


@dataclass(frozen=True, slots=True)
class _Remark:
    start: int
    row: int
    column: int
    text: str
    alone: bool  # on a row of its own


class _Source:
    """Rows and columns of the old text, counted from 0."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def row(self, index: int) -> int:
        return bisect.bisect_right(self._starts, index) - 1

    def column(self, index: int) -> int:
        return index - self._starts[self.row(index)]

    def before(self, index: int) -> str:
        """What stands before it on its row."""
        return self.text[self._starts[self.row(index)] : index]

    def after_blank(self, index: int) -> bool:
        """Whether it is the first on its row, and the row above is blank."""
        row = self.row(index)
        if row == 0 or not _DASHES.fullmatch(self.before(index)):
            return False
        return not self.text[self._starts[row - 1] : self._starts[row]].strip()


def place(text: str, scalars: Sequence[tuple[int, int]], lines: list[Line]) -> None:
    """Put every comment of the old text to the line that it belongs to, and keep single blank rows between lines.

    ``scalars`` are the spans in which ``#`` is no comment, in order. A comment behind a line stays behind it; when that
    line is now several, it goes above the first of them, since it may speak of all. A comment on a row of its own
    stays above the line that follows.
    """
    source = _Source(text)
    starts = [line.start for line in lines]
    first_on: dict[int, list[int]] = {}
    ends_on: dict[int, int] = {}
    for number, line in enumerate(lines):
        first_on.setdefault(source.row(line.start), []).append(number)
        ends_on[source.row(line.end)] = number
    above: list[list[_Remark]] = [[] for _ in range(len(lines) + 1)]
    for remark in _found(source, scalars):
        here = first_on.get(remark.row, [])
        if not remark.alone and len(here) > 1:
            above[here[0]].append(remark)
            continue
        owner = here[0] if here else ends_on.get(remark.row)
        if remark.alone or owner is None or lines[owner].start > remark.start or lines[owner].tail:
            above[bisect.bisect_right(starts, remark.start)].append(remark)
        else:
            lines[owner].tail = remark.text
    _write(source, lines, above)


def _write(source: _Source, lines: list[Line], above: list[list[_Remark]]) -> None:
    for number, line in enumerate(lines):
        rows = _rows(source, above[number], lines, number)
        moved = any(not remark.alone and remark.row == source.row(line.start) for remark in above[number])
        if source.after_blank(line.start) and not moved and (rows or (number and not lines[number - 1].keeps_blanks)):
            rows.append("")
        line.before = rows
    if lines:
        lines[-1].after = _rows(source, above[-1], lines, len(lines))


def _rows(source: _Source, remarks: list[_Remark], lines: list[Line], following: int) -> list[str]:
    """Comments as rows, with the blank rows that stood above them."""
    rows: list[str] = []
    indents: dict[tuple[bool, int], int] = {}  # thousands of comments may stand together
    for remark in remarks:
        if remark.alone:
            is_parted = source.after_blank(remark.start)
        else:
            is_parted = following < len(lines) and source.after_blank(lines[following].start) and not rows
        if is_parted and (rows or (following and not lines[following - 1].keeps_blanks)):
            rows.append("")
        key = remark.alone, remark.column
        if key not in indents:
            indents[key] = _indent(source, remark, lines, following)
        rows.append(" " * indents[key] + remark.text)
    return rows


def _found(source: _Source, scalars: Sequence[tuple[int, int]]) -> Iterator[_Remark]:
    spans = sorted(scalars)
    starts = [start for start, _ in spans]
    position = 0
    while match := _COMMENT.search(source.text, position):
        inside = bisect.bisect_right(starts, match.start()) - 1
        if inside >= 0 and match.start() < spans[inside][1]:
            position = max(spans[inside][1], match.start() + 1)
            continue
        position = match.end()
        alone = not source.before(match.start()).strip()
        row, column = source.row(match.start()), source.column(match.start())
        yield _Remark(match.start(), row, column, match[0].rstrip(), alone)


def _indent(source: _Source, remark: _Remark, lines: list[Line], following: int) -> int:
    """That of the line that follows; but a comment that stood deeper belongs to what went before."""
    floor = 0
    if following < len(lines):
        line = lines[following]
        floor = line.dash
        if not remark.alone or remark.column <= _columns(source, line)[0]:
            return floor
    open_to = math.inf  # levels beyond it were closed by a later line
    for number in range(following - 1, -1, -1):
        line = lines[number]
        dash, column = _columns(source, line)
        if remark.column >= column and line.inner <= open_to:
            return max(line.inner, floor)
        if remark.column >= dash and line.dash <= open_to:
            return max(line.dash, floor)
        open_to = min(open_to, line.dash)
        if open_to <= floor:
            break
    return floor


def _columns(source: _Source, line: Line) -> tuple[int, int]:
    """Where the line began in the old text: its first dash (if it has any), and what is behind."""
    lead, column = source.before(line.start), source.column(line.start)
    return (len(lead) - len(lead.lstrip(" ")) if _DASHES.fullmatch(lead) else column), column
