"""``${…}`` in strings, and the names inside an expression. Pure scanning: positions in, positions out.

An expression ends at the brace that closes it; braces inside its own strings and maps do not count. ``$${`` writes a
``${`` that is not an expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<string>[rRbB]{0,2}(?:"
    r'"""(?:\\.|[\s\S])*?"""'
    r"|\'\'\'(?:\\.|[\s\S])*?\'\'\'"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<comment>//[^\n]*)"
    r"|(?P<number>[0-9][0-9a-zA-Z_.]*)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<space>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_MACROS = frozenset({"map", "filter", "all", "exists", "exists_one"})


class TemplateError(ValueError):
    """A template that cannot be cut into pieces; ``offset`` is where the trouble begins."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


@dataclass(frozen=True, slots=True)
class Hole:
    """The source of one ``${…}`` and the offset of its first character in the string."""

    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A dotted name in an expression (``steps.book.ref``): where it starts and ends, and whether it is a function's
    name."""

    parts: tuple[str, ...]
    start: int
    end: int
    called: bool


def cut(text: str) -> list[str | Hole]:
    """The pieces of a template in order: plain text and expressions. Raises `TemplateError`."""
    pieces: list[str | Hole] = []
    position = 0
    plain = ""
    while (found := text.find("${", position)) >= 0:
        if found > position and text[found - 1] == "$":
            plain += text[position : found - 1] + "${"
            position = found + 2
            continue
        plain += text[position:found]
        end = _closing_brace(text, found + 2)
        if plain:
            pieces.append(plain)
            plain = ""
        body = text[found + 2 : end]
        source = body.strip()
        if not source:
            raise TemplateError(found, "'${}' holds no expression")
        pieces.append(Hole(source, found + 2 + len(body) - len(body.lstrip())))
        position = end + 1
    plain += text[position:]
    if plain:
        pieces.append(plain)
    return pieces


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        character = token.group()
        if character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return token.start()
            depth -= 1
    raise TemplateError(start - 2, "'${' is never closed by '}'")


def chains(source: str) -> Iterator[Chain]:
    """The dotted names of an expression in order; what hangs on a call or an index is not a name."""
    tokens = [token for token in _TOKEN.finditer(source) if token.lastgroup not in ("space", "comment")]
    index = 0
    previous = ""
    while index < len(tokens):
        token = tokens[index]
        if token.lastgroup != "name" or previous == "." or previous == "?":
            previous = token.group()
            index += 1
            continue
        parts, last = [token.group()], index
        while last + 2 < len(tokens) and tokens[last + 1].group() == "." and tokens[last + 2].lastgroup == "name":
            parts.append(tokens[last + 2].group())
            last += 2
        called = last + 1 < len(tokens) and tokens[last + 1].group() == "("
        yield Chain(tuple(parts), token.start(), tokens[last].end(), called)
        previous = parts[-1]
        index = last + 1


def first_arguments(source: str, functions: frozenset[str]) -> Iterator[tuple[str, str, int]]:
    """Calls ``f('literal')`` of the named functions: function, the literal's text, and the offset of that text."""
    tokens = [token for token in _TOKEN.finditer(source) if token.lastgroup not in ("space", "comment")]
    for name, bracket, argument in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if name.group() in functions and bracket.group() == "(" and argument.lastgroup == "string":
            yield name.group(), argument.group().strip("'\""), argument.start() + 1


def macro_depth(source: str) -> int:
    """How deep ``map``, ``filter``, ``all`` and ``exists`` are nested in each other."""
    depth = deepest = 0
    brackets: list[bool] = []
    previous = ""
    for token in _TOKEN.finditer(source):
        if token.lastgroup in ("space", "comment"):
            continue
        text = token.group()
        if text == "(":
            brackets.append(previous in _MACROS)
            depth += brackets[-1]
            deepest = max(deepest, depth)
        elif text == ")" and brackets:
            depth -= brackets.pop()
        previous = text
    return deepest
