"""What a text model is told about a conversation: who said what, which tools answered, and what was really heard.

Sans-IO. Of an utterance that was interrupted the model remembers what the caller heard of it; else it would take for
told what nobody has heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from providers.parts import Message, Said
from providers.voice import Session, ToolCall

MANNERS = (
    "Your words are spoken aloud on the telephone: short, plain sentences, as people talk; no markup, no lists, "
    "no emoji."
)
GO_ON = "(The caller is listening. Go on.)"  # many servers want the last word to be the caller's
RUNNING = '{"status": "still running; the result will follow"}'
CUT_OFF = "…"
CHARACTERS_PER_MS = 0.015  # of speech whose length is not known yet


@dataclass(slots=True)
class Utterance:
    """Something that the voice says.

    ``made_ms``: audio that there is of it, ``handed_ms``: that the owner took; ``whole``: there will be no more.
    """

    item: str
    text: str = ""
    made_ms: float = 0.0
    handed_ms: float = 0.0
    whole: bool = False
    places: list[Said] = field(default_factory=list)  # in order
    heard: str | None = None  # what the caller heard, when that is not all

    @property
    def remembered(self) -> str:
        """What the model shall take for said."""
        return self.text.strip() if self.heard is None else self.heard

    def cut(self, played_ms: float) -> None:
        """Only so much was heard. A word that was heard in part counts as not heard."""
        played_ms = min(played_ms, self.handed_ms)
        until = min(int(self._characters(played_ms)), len(self.text))
        words = self.text[:until]
        if until < len(self.text) and not self.text[until].isspace():
            words = words[: words.rfind(" ") + 1]
        words = words.rstrip()
        if words == self.text.strip():
            self.heard = None
        else:
            self.heard = f"{words} {CUT_OFF}" if words else ""

    def _characters(self, ms: float) -> float:
        """How much of the text is said at ``ms``: between two places that are known, else by the usual speed."""
        before = max((place for place in self.places if place.at_ms <= ms), key=_at, default=Said(0, 0))
        end = [Said(round(self.made_ms), len(self.text))] if self.whole else []
        after = min((place for place in (*self.places, *end) if place.at_ms > ms), key=_at, default=None)
        if after is None:
            return len(self.text) if self.whole else before.characters + (ms - before.at_ms) * CHARACTERS_PER_MS
        share = (ms - before.at_ms) / (after.at_ms - before.at_ms)
        return before.characters + share * (after.characters - before.characters)


def _at(place: Said) -> int:
    return place.at_ms


@dataclass(slots=True)
class _Calls:
    """The tools that one answer asked for. ``results`` by the id of the call."""

    calls: tuple[ToolCall, ...]
    utterance: Utterance | None
    results: dict[str, str] = field(default_factory=dict)
    respond: bool = True


class Memory:
    """One conversation."""

    def __init__(self, session: Session) -> None:
        self.instructions = session.instructions
        self._utterances: dict[str, Utterance] = {}  # by item
        self._said: list[Message | Utterance | _Calls] = [
            Message("user" if before.role == "caller" else "assistant", before.text) for before in session.history
        ]

    def caller(self, text: str) -> None:
        """The caller said this."""
        self._said.append(Message("user", text))

    def voice(self, utterance: Utterance) -> None:
        """The voice says this; the utterance may still grow and be cut."""
        self._utterances[utterance.item] = utterance
        self._said.append(utterance)

    def calls(self, calls: Sequence[ToolCall], utterance: Utterance | None) -> None:
        """The model asks for tools, behind the words of ``utterance`` if there were any."""
        entry = _Calls(tuple(calls), utterance)
        place = next((at for at, said in enumerate(self._said) if said is utterance), None)
        if place is None:
            self._said.append(entry)
        else:
            self._said[place] = entry

    def result(self, call_id: str, output: str, *, respond: bool) -> bool:
        """A result came. Whether the model shall answer now: all results of its turn are there and all want it."""
        for entry in reversed(self._said):
            if isinstance(entry, _Calls) and any(call.id == call_id for call in entry.calls):
                if call_id in entry.results:
                    return False
                entry.results[call_id] = output
                entry.respond = entry.respond and respond
                return entry.respond and len(entry.results) == len({call.id for call in entry.calls})
        return False  # nobody asked, or too late

    def handed(self, item: str, ms: float) -> None:
        """So much audio of ``item`` was taken by the owner."""
        if (utterance := self._utterances.get(item)) is not None:
            utterance.handed_ms += ms

    def cut(self, item: str) -> None:
        """Nothing more of ``item`` is handed over."""
        if (utterance := self._utterances.get(item)) is not None:
            utterance.cut(utterance.handed_ms)

    def truncate(self, item: str, played_ms: int) -> bool:
        """Only so much of ``item`` was heard. Whether it was known."""
        utterance = self._utterances.get(item)
        if utterance is not None:
            utterance.cut(played_ms)
        return utterance is not None

    def messages(self) -> list[Message]:
        """What the model is told before its next answer."""
        told = [Message("system", "\n\n".join(filter(None, (MANNERS, self.instructions))))]
        for entry in self._said:
            match entry:
                case Message():
                    _add(told, entry)
                case Utterance():
                    if entry.remembered:
                        _add(told, Message("assistant", entry.remembered))
                case _Calls():
                    words = "" if entry.utterance is None else entry.utterance.remembered
                    told.append(Message("assistant", words, calls=entry.calls))
                    told += [Message("tool", entry.results.get(c.id, RUNNING), call=c.id) for c in entry.calls]
        if told[-1].role in ("system", "assistant"):
            told.append(Message("user", GO_ON))
        return told


def _add(told: list[Message], message: Message) -> None:
    """Two texts of the same speaker are one message: some servers want them in turns."""
    last = told[-1]
    if last.role == message.role and not last.calls:
        told[-1] = Message(message.role, f"{last.text} {message.text}")
    else:
        told.append(message)
