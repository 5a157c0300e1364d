"""When the caller begins and ends a turn: a recogniser's events and loudness in, turns out.

Sans-IO and without a clock of its own: every method takes the time (seconds, any monotonic clock), `deadline` says when
a `tick` is due. Loudness notices the caller first, words decide: a turn ends when the caller is quiet and everything
they said is written, or when what is not will not come any more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from providers.voice import SpeechStarted, SpeechStopped, UserText

FINAL_WITHIN = 0.7  # seconds from the end of sound to the final text; then the preliminary one counts
WORDS_WITHIN = 2.5  # seconds from the last sign of the caller to a text; then it was no speech
NOISE_AFTER = 1.5  # seconds without another word, everything written: what still sounds is not the caller
LIKE_SPEECH = 1.5  # seconds of sound, with the pause that ends it
REMEMBERED = 20  # items that were taken, and whose texts may come once more


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The caller has said ``text``; nothing when it was no speech (a cough, a door).

    ``ignored``: it sounded long enough for speech, and the recogniser told nothing at all.
    """

    text: str
    ignored: bool = False


Sign = SpeechStarted | SpeechStopped | UserText | TurnOver


class Hearing:
    """One caller. What the methods return is in order: `SpeechStarted`, texts, `SpeechStopped`, `TurnOver`.

    The caller has stopped as soon as they are quiet; until what they said is written they may start again.
    """

    def __init__(self) -> None:
        self.in_turn = self._stopped = False
        self._texts: dict[str, tuple[str, bool]] = {}  # item -> what it says, whether that is final; in order
        self._taken: dict[str, int] = {}  # item -> words of it that earlier turns had
        self._closed: deque[str] = deque(maxlen=REMEMBERED)  # items whose final text was taken
        self._loud = False
        self._loud_at = 0.0
        self._long = self._noticed = False  # since the last turn: a long sound; a sign of the recogniser
        self._sign_at = 0.0  # of the caller, whatever it was
        self._word_at = 0.0

    def loudness(self, speaking: bool, now: float) -> list[Sign]:
        """Sound of speech began or ended on the line."""
        if self._loud == speaking:
            return []
        self._loud = speaking
        if speaking:
            self._loud_at = now
            return [*self._begin(now, again=True), *self.tick(now)]
        self._long = self._long or now - self._loud_at >= LIKE_SPEECH
        return [*self._stop(now), *self.tick(now)]

    def recognised(self, event: SpeechStarted | SpeechStopped | UserText, now: float) -> list[Sign]:
        """The recogniser tells something."""
        self._noticed = True
        match event:
            case SpeechStarted():
                return self._begin(now)
            case SpeechStopped():
                return [*([] if self._loud else self._stop(now)), *self.tick(now)]
            case UserText():
                return [*self._text(event, now), *self.tick(now)]

    def deadline(self) -> float | None:
        """When a `tick` may end the turn; None while there is nothing to wait for."""
        if not self.in_turn:
            return None
        written = bool(self._texts) and all(final for _, final in self._texts.values())
        if self._loud:
            return self._word_at + NOISE_AFTER if written else None
        if written:
            return self._sign_at
        return self._sign_at + (FINAL_WITHIN if self._texts else WORDS_WITHIN)

    def tick(self, now: float) -> list[Sign]:
        """The turn ends when it is time."""
        deadline = self.deadline()
        return [] if deadline is None or now < deadline else self._end(now)

    def hurry(self, now: float) -> list[Sign]:
        """Nobody waits any longer for what is not written; a caller who speaks may go on."""
        return self._end(now) if self.in_turn and not self._loud else []

    def _end(self, now: float) -> list[Sign]:
        late = [UserText(text, item=self._name(item)) for item, (text, final) in self._texts.items() if not final]
        said = " ".join(text for text, _ in self._texts.values())
        for item, (text, final) in self._texts.items():
            if final and item:
                self._closed.append(item)
            elif item:
                self._taken[item] = self._taken.get(item, 0) + len(text.split())
                if len(self._taken) > REMEMBERED:
                    del self._taken[next(iter(self._taken))]
        self._texts.clear()
        ignored = self._long and not self._noticed
        stopped = self._stop(now)
        self.in_turn = self._long = self._noticed = False
        return [*late, *stopped, TurnOver(said, ignored)]

    def _text(self, event: UserText, now: float) -> list[Sign]:
        item = event.item
        words = event.text.split()[self._taken.get(item, 0) :]  # what a turn had already is not said once more
        text, was_final = " ".join(words), self._texts.get(item, ("", False))[1]
        if item and (was_final or item in self._closed):
            return []  # once more, or too late
        if not text:
            if event.final:
                self._texts.pop(item, None)  # it was no speech after all
            return []
        signs = self._begin(now)
        self._word_at = now
        heard = replace(event, text=text, item=self._name(item))
        if not item and was_final:  # a recogniser that names nothing: one text after the other
            text = f"{self._texts[item][0]} {text}"
        self._texts[item] = (text, event.final)
        return [*signs, heard]

    def _name(self, item: str) -> str:
        """What the text is called. The rest of an item of which a turn had the beginning is another text."""
        return f"{item}.{self._taken[item]}" if item in self._taken else item

    def _begin(self, now: float, *, again: bool = False) -> list[Sign]:
        """A sign of the caller. ``again``: it is a new sound, not the text of an old one."""
        self._sign_at = now
        if self.in_turn and not (again and self._stopped):
            return []
        self.in_turn, self._stopped = True, False
        return [SpeechStarted()]

    def _stop(self, now: float) -> list[Sign]:
        if not self.in_turn:
            return []
        self._sign_at = now
        told, self._stopped = self._stopped, True
        return [] if told else [SpeechStopped()]
