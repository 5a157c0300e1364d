"""The minutes of a talk: what the voice said, for the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.discretion import on_record
from engine.record import Spoken

if TYPE_CHECKING:
    from engine.call import Call


class Minutes:
    """Utterances of the voice by item."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._text: dict[str, str] = {}
        self._spoken: dict[str, Spoken] = {}
        self._hidden: dict[str, str] = {}  # utterances and texts that are not kept as they are: what is instead
        self._due: str | None = None  # the same for the next utterance

    def asked(self, text: str) -> None:
        """The voice is to say this. In what words it does is its own, so the next utterance counts as it."""
        if (kept := on_record(text)) is not text:
            self._due = self._hidden[str(text)] = kept

    def add(self, item: str, text: str, *, final: bool) -> None:
        """More of an utterance, or with ``final`` its whole text."""
        if item not in self._text and self._due is not None:
            self._hidden[item], self._due = self._due, None
        said = text if final else self._text.get(item, "") + text
        self._text[item] = self._hidden.get(item) or self._hidden.get(said, said)
        if item in self._spoken:
            self._spoken[item].text = self._text[item]
            self._call.changed()
        elif not final:
            self._call.live.voice_says = self._text[item]
            self._call.changed()
        elif final:
            self.note(item)

    def note(self, item: str, *, interrupted: bool = False) -> None:
        """The utterance ended, or was begun and is heard."""
        if item not in self._spoken and self._text.get(item):
            self._spoken[item] = self._call.said("voice", self._text[item])
            self._call.live.voice_says = ""
        if interrupted:
            self.interrupted(item)

    def interrupted(self, item: str) -> None:
        """The caller did not hear all of it."""
        if item in self._spoken:
            self._spoken[item].interrupted = True
            self._call.changed()
