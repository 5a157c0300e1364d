"""What YAML's parser says, in words for authors, at the place where the mistake was made: it notices an open quote or
bracket only where the text comes to its end, or to the next one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from flows.problems import Problem

if TYPE_CHECKING:
    from flows.reader import Document

_GAP = re.compile(r"(?:\s+#.*|\s+)*")
_PAIR = re.compile(r"[^\s#].*:\s")  # a key and its colon, perhaps behind "- "
_BRACKET = re.compile(r"(?:^|[\s\[{])[\[{].*\$\{")  # as a value begins, not as within an expression
_CANNOT_BEGIN = ("@", "`", "%")


def syntax_problem(document: Document, error: yaml.YAMLError, last: Any) -> Problem:
    """Where the author went wrong, and how. ``last`` is the event before the error, or None."""
    index, message = _open_quote(document, error, last) or _open_bracket(document, error) or _said(document, error)
    return Problem.at(document.where(index), "E102", f"not valid YAML: {message}")


def _open_quote(document: Document, error: yaml.YAMLError, last: Any) -> tuple[int, str] | None:
    """A quote that is never closed, or closed by the one that should open the next text."""
    begun, found = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    if begun and "quoted scalar" in str(getattr(error, "context", "")) and "escape" not in str(_problem(error)):
        return begun.index, "the quote that begins here is never closed"
    if not found or not isinstance(last, yaml.ScalarEvent) or last.style not in ("'", '"'):
        return None
    start, end = span_of(last, document.text)
    closed = document.where(end).line
    if document.text[end : found.index].strip() or document.where(found.index).line != closed:
        return None
    if not document.text[found.index :].strip():  # the end of the file
        return None
    if document.where(start).line != closed:
        return start, f"the quote that begins here ends before other text in line {closed}: is one missing between?"
    if "expected ','" in str(_problem(error)):
        return None
    double = "''" if last.style == "'" else '\\"'
    return found.index, f"text behind the closing quote; a quote inside of the text is written {double}"


def span_of(event: Any, text: str) -> tuple[int, int]:
    """Where a scalar's own text begins and ends; libyaml counts the anchor before it to the event."""
    start, end = event.start_mark.index, event.end_mark.index
    if event.anchor and (gap := _GAP.match(text, start + len("&") + len(event.anchor))):
        start = min(gap.end(), end)
    return start, end


def _open_bracket(document: Document, error: yaml.YAMLError) -> tuple[int, str] | None:
    """A bracket that nothing closes up to the end of the file."""
    begun, found = getattr(error, "context_mark", None), getattr(error, "problem_mark", None)
    inside = str(getattr(error, "context", "")).endswith(("flow mapping", "flow sequence"))
    if not begun or not found or not inside or document.text[found.index :].strip():
        return None
    return begun.index, f"the '{document.text[begun.index]}' that begins here is never closed"


def _said(document: Document, error: yaml.YAMLError) -> tuple[int, str]:
    """The parser's own words and place, with a hint where one is known."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)
    index = mark.index if mark else position if isinstance(position, int) else 0
    index = min(index, len(document.text.rstrip()))  # in a line that can be shown
    message = _problem(error) or getattr(error, "reason", None) or str(error)
    where = document.where(index)
    line = document.line(where.line)
    before = line[: where.column - 1]
    if "\t" in line[: where.column] and not before.strip():
        message = "a tab cannot indent YAML; use spaces"
    elif _BRACKET.search(line):
        message += "; inside {…} and […] put quotes around text that holds '${…}', commas or colons"
    elif "{{" in line:
        message += '; expressions are written "${…}", not {{…}}'
    elif message.startswith("mapping values are not allowed"):
        quote = "put quotes around text that holds ': '"
        message += f"; {quote}" if _PAIR.search(before) else f"; {quote}, or indent the key like those above"
    elif message.startswith("found character that cannot start") and line[len(before) :][:1] in _CANNOT_BEGIN:
        message += f"; put quotes around text that begins with '{line[len(before)]}'"
    return index, message


def _problem(error: yaml.YAMLError) -> Any:
    return getattr(error, "problem", None)
