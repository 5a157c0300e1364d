"""Whole sentences out of a text that is still being written, so that the first one is spoken while the rest is thought.

Sans-IO. Cutting too late costs a moment of silence, cutting in the wrong place a wrong melody: where it is not clear
that a sentence has ended, more text is waited for.
"""

from __future__ import annotations

import re

LONGEST = 400  # characters; a text without an end is cut at a space

_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”]*|\n+")
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"(\S+?)\.[\"'”’»)\]]*$")
_ABBREVIATION = re.compile(
    r"mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|approx|dept|est|inc|ltd|co|corp|e\.g|i\.e|a\.k\.a"
    r"|hr|fr|z\.b|d\.h|u\.a|bzw|ca|evtl|ggf|inkl|str|usw|vgl"
    r"|m|mme|mlle|sra|dra|ud|uds|av|pág|sig|dott"
)
_BEFORE_NUMBER = re.compile(r"nos?|nr|tel|ext|fig|vol|pp?")
_ENUMERATION = re.compile(r"\d{1,2}|[^\W\d_]")  # "1. Mai", "J. Smith"


class Sentences:
    """Feed it a text as it comes; what it gives back, joined, is that text."""

    def __init__(self) -> None:
        self._text = ""
        self._from = 0  # nothing before this ends a sentence

    def feed(self, text: str) -> list[str]:
        """The sentences that are whole now, each with the space behind it."""
        self._text += text
        whole = []
        while (end := self._end()) is not None:
            whole.append(self._text[:end])
            self._text, self._from = self._text[end:], 0
        return whole

    def rest(self) -> str:
        """What is left when nothing more comes; perhaps nothing."""
        text, self._text, self._from = self._text, "", 0
        return text

    def _end(self) -> int | None:
        """Where the first sentence ends, its space included; None when that is not known yet."""
        for mark in _END.finditer(self._text, self._from):
            after = _SPACE.match(self._text, mark.end())
            assert after is not None
            if after.end() == len(self._text):
                return None  # what follows tells whether it has ended
            if self._ends(mark, self._text[after.end()]) and self._text[: mark.end()].strip():
                return after.end()
            self._from = mark.end()
        if len(self._text) > LONGEST:
            space = self._text.rfind(" ", 1, LONGEST)
            return LONGEST if space < 0 else space + 1
        return None

    def _ends(self, mark: re.Match[str], following: str) -> bool:
        if not mark.group().startswith("."):
            return True
        if following.islower():
            return False
        word = _WORD.search(self._text[: mark.end()])
        if word is None:  # an ellipsis
            return True
        last = word.group(1).lstrip("\"'“‘«([").lower()
        if following.isdigit() and _BEFORE_NUMBER.fullmatch(last):
            return False
        return not (_ABBREVIATION.fullmatch(last) or _ENUMERATION.fullmatch(last))


def pieces(text: str) -> list[str]:
    """The sentences of a whole text; joined they are the text."""
    sentences = Sentences()
    return [piece for piece in (*sentences.feed(text), sentences.rest()) if piece]
