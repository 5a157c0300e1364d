"""The script of a test that is made from a call: what the caller did at each step, and how each step ended.

Speech takes another time in a test than it took on the telephone. So who answers a question does it at once, and only
where time itself decides (a target rings, the flow waits) does a line wait as long as the call did.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from engine.discretion import HIDDEN, WORDS
from engine.record import CallRecord, KeyPress, Spoken, StepTrace
from engine.replay.mocks import MACHINE
from engine.replay.talk import talk
from engine.replay.written import Noted, seconds

SOON: Final = 0.2  # seconds after which a caller who does not wait for anything acts
PAUSE: Final = 2.0  # seconds between two keys that do not belong together
KEYS_APART: Final = 0.3  # seconds that a test waits behind each key
TIMED: Final = frozenset({"transfer", "wait", "http", "event", "sms"})  # how long they take does not hang on speech
WITHIN: Final = 500.0  # seconds that a test waits for what it expects, unless it says more
LETTER_MS: Final = 60  # of virtual speech
TOO_DEAR: Final = "cost: the call"  # how the error of a call begins that reached its limit (`engine.limits`)
HIDDEN_KEYS: Final = "the keys were sensitive and are not on record: so many were pressed"
UNKNOWN_WORDS: Final = "what was said is not on record, only that somebody spoke"
NO_CHANCE: Final = "decided by chance, or by a caller's value: the test may go another way"


class Script:
    """Makes the lines. One per call."""

    def __init__(self, record: CallRecord) -> None:
        self._record = record
        self._lines: list[Any] = []
        self._taken: set[int] = set()  # keys that an earlier step has shown
        self._steps = [step for step in record.steps if not _is_beside(step, record.steps)]
        self._gone = False  # the caller has hung up
        self._hangs_up = record.hangup_by == "caller" or record.outcome == "lost"

    def lines(self) -> list[Any]:
        """All of them, in order."""
        for index, step in enumerate(self._steps):
            following = self._steps[index + 1] if index + 1 < len(self._steps) else None
            self._step(step, following)
        if self._hangs_up and not self._gone:
            self._hang_up(SOON)
        return self._lines

    def _step(self, step: StepTrace, following: StepTrace | None) -> None:
        name = step.id or step.verb
        if following is not None and _holds(step, following):
            return self._lines.append({"expect": {"step": name}})
        outcome = _outcome(step, self._record)
        acts = list(self._acts(step))
        leaves = self._leaves_in(step, following)
        connected = step.verb == "transfer" and outcome == "connected"
        if acts or (leaves and not connected):
            self._lines += [{"expect": {"step": name}}, *acts]
        if leaves and not connected:
            self._hang_up(self._patience(step, acts))
        self._expect(step, name, outcome)
        if leaves and connected:
            self._hang_up(self._talked(step))
        return None

    def _expect(self, step: StepTrace, name: str, outcome: str) -> None:
        expected: dict[str, Any] = {"step": name, "outcome": outcome}
        if step.ms is not None and step.ms / 1000 > WITHIN and outcome != "connected":
            expected["within"] = seconds(step.ms / 1000 * 1.5)
        line = {"expect": expected}
        self._lines.append(Noted(line, NO_CHANCE) if step.verb == "split" else line)

    # ── What the caller does in a step ────────────────────────────────────────────────────────────────────────────────

    def _acts(self, step: StepTrace) -> Iterator[Any]:
        if step.verb == "converse":
            yield from talk(self._record, step, _end(step))
        elif step.verb == "gather":
            yield from self._answers(step)
        elif step.verb == "voicemail" and step.data.get("ms"):
            yield Noted({"says": _words(step.data["ms"])}, UNKNOWN_WORDS)
        elif step.verb == "wait_for" and step.outcome == "done" and step.detail == "beep":
            yield {"beeps": {}}
        elif step.verb == "wait_for" and step.outcome == "done" and step.detail == "speech":
            yield Noted({"says": "Yes."}, UNKNOWN_WORDS)
        elif step.verb == "detect_machine" and step.outcome in ("human", "machine"):
            yield Noted({"says": MACHINE if step.outcome == "machine" else "Hello?"}, UNKNOWN_WORDS)
        keys = self._keys(step)
        if step.outcome == "interrupted" and not keys:
            yield from self._interrupts(step)
        yield from self._presses(step, keys)
        if step.outcome == "cancelled" and step.data.get("cost") and self._record.error.startswith(TOO_DEAR):
            yield {"costs": float(self._record.cost)}  # nothing else costs anything in a test

    def _answers(self, step: StepTrace) -> Iterator[Any]:
        """What was said to a step that has it written down."""
        said = [one for one in self._record.transcript if one.role == "caller" and _is_within(one, step)]
        for one in said:
            yield {"caller": one.text}
        typed = any(self._reader(key) is step for key in self._record.presses)
        if step.outcome == "done" and not said and not typed:
            yield Noted({"caller": WORDS}, UNKNOWN_WORDS)

    def _interrupts(self, step: StepTrace) -> Iterator[Any]:
        """A prompt that was cut off: by the key that the next step read, or by speech."""
        left = (key for key in self._record.presses if id(key) not in self._taken and key.at >= _end(step) - _TICK)
        key = next(left, None)
        if key is None or key.at > _end(step) + timedelta(seconds=PAUSE):
            yield Noted({"says": "Excuse me!"}, UNKNOWN_WORDS)
        else:
            self._taken.add(id(key))
            yield _press([key])

    def _keys(self, step: StepTrace) -> list[KeyPress]:
        """The keys that this run of the step read."""
        found = [key for key in self._record.presses if id(key) not in self._taken and self._reader(key) is step]
        self._taken.update(map(id, found))
        return found

    def _reader(self, key: KeyPress) -> StepTrace | None:
        """The step that read a key: of those at this place (of any flow) that ran then, the one that began last."""
        ran = [step for step in self._steps if step.path == key.step and step.started <= key.at <= _end(step) + _TICK]
        return ran[-1] if ran else None

    def _presses(self, step: StepTrace, keys: Sequence[KeyPress]) -> Iterator[Any]:
        """Keys in the groups in which they were pressed."""
        if not keys:
            return
        waits = (keys[0].at - step.started).total_seconds() if step.verb in TIMED else SOON
        if step.outcome == "cancelled" and waits >= SOON:  # a handler's key: the step must have begun its work
            yield {"silence": seconds(waits)}
        group = [keys[0]]
        for before, key in itertools.pairwise(keys):
            gap = (key.at - before.at).total_seconds()
            if gap > PAUSE:
                yield _press(group)
                yield {"silence": seconds(gap - KEYS_APART)}
                group = []
            group.append(key)
        yield _press(group)

    # ── How the caller leaves ─────────────────────────────────────────────────────────────────────────────────────────

    def _leaves_in(self, step: StepTrace, following: StepTrace | None) -> bool:
        """Whether this is the step in which the caller hung up."""
        ended = self._record.ended
        if not self._hangs_up or self._gone or ended is None or step.started > ended:
            return False
        if following is None or following.started > ended:
            return True
        return following.started == ended and step.outcome != "done"  # a virtual caller can leave between two steps

    def _patience(self, step: StepTrace, acts: Sequence[Any]) -> float:
        """How long the caller waits before they hang up in the middle of a step."""
        assert self._record.ended is not None
        lasted = (self._record.ended - step.started).total_seconds()
        if step.verb in TIMED and not acts:
            return lasted
        said = [one.at for one in self._record.transcript if one.role == "caller" and one.at >= step.started]
        asked = any(one.role == "voice" and not one.improvised and one.at > said[-1] for one in self._record.transcript
                    ) if said else False  # fmt: skip
        if step.verb == "converse" and asked:  # they were asked whether they are still there
            return (self._record.ended - said[-1]).total_seconds()
        return min(lasted, SOON)

    def _talked(self, step: StepTrace) -> float:
        """How long the caller talked to the person."""
        answered = [leg.answered for leg in self._record.legs if leg.kind == "target" and leg.answered is not None]
        pressed = [attempt.key_ms or 0 for attempt in self._record.attempts if attempt.status == "answered"]
        begins = max(answered, default=step.started) + timedelta(milliseconds=pressed[-1] if pressed else 0)
        return max(SOON, ((self._record.ended or begins) - begins).total_seconds())

    def _hang_up(self, after: float) -> None:
        self._gone = True
        self._lines += [{"silence": seconds(after)}] if after > 0 else []
        self._lines.append({"hangs_up": {}})


_TICK: Final = timedelta(milliseconds=2)  # what a duration in whole milliseconds lacks


def _end(step: StepTrace) -> datetime:
    return step.started + timedelta(milliseconds=(step.ms or 0) + 1)


def _is_within(said: Spoken, step: StepTrace) -> bool:
    return said.step == step.path and step.started <= said.at <= _end(step) + _TICK


def _is_beside(step: StepTrace, steps: Sequence[StepTrace]) -> bool:
    """Whether a tool of the AI ran it beside the talk."""
    return any(
        other.verb == "converse" and other is not step and other.started <= step.started < _end(other) - _TICK
        for other in steps
    )


def _holds(step: StepTrace, following: StepTrace) -> bool:
    """Whether the next step runs inside this one (`repeat`, `call`, …), which can then not be waited for first."""
    is_inside = following.started < _end(step) - _TICK
    return is_inside and step.verb not in ("converse", "transfer")


def _outcome(step: StepTrace, record: CallRecord) -> str:
    """How it ended, as a test sees it: who was put through was connected, whatever came then."""
    outcome = step.outcome or "cancelled"
    names = (step.id, step.path)
    reached = any(
        attempt.status == "answered" and attempt.step in names and step.started <= attempt.started <= _end(step)
        for attempt in record.attempts
    )
    return "connected" if step.verb == "transfer" and reached and outcome in ("done", "cancelled") else outcome


def _press(keys: Sequence[KeyPress]) -> Any:
    typed = "".join("0" if key.key == HIDDEN else key.key for key in keys)
    line = {"press": typed}
    return Noted(line, HIDDEN_KEYS) if any(key.key == HIDDEN for key in keys) else line


def _words(ms: int) -> str:
    """Words that take so long in a test."""
    text = "This is what I had to say. " * (ms // LETTER_MS // 27 + 1)
    return text[: max(1, ms // LETTER_MS)].strip() or "Hm."
