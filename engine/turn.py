"""Turn-taking as a pure state machine: events and a clock in, actions out.

It knows who speaks, what is awaited and until when. It has no I/O, no timers and no asyncio: `handle` takes an event
and the time (seconds, any monotonic clock) and returns what to do; `deadline` says when a `Tick` is due. The names
of the knobs are LiveKit's where it has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """Knobs, in seconds. ``None`` switches a limit off."""

    silence: float | None = 8.0  # nobody speaks for so long: reprompt, and after `reprompts` of them give up
    reprompts: int = 2
    answer_within: float = 8.0  # the voice owes an answer: no audio for so long is a failed provider
    max_duration: float | None = None
    max_turns: int | None = None
    allow_interruptions: bool = True
    duplex: bool = False  # the voice hears while it speaks: it stops by itself, and after a pause it owes nothing
    farewell: float = 4.0  # how long a running utterance may go on once the model asked to finish
    failed_within: float = 1.0  # an answer failed: so soon the caller is asked again; a second failure ends the talk
    longest_speech: float = 60.0  # the caller "speaks" for so long: noise, or a lost end; their turn is over


# ── Events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class VoiceAsked:
    """The engine asked the voice to say something; audio is owed."""


@dataclass(frozen=True, slots=True)
class CallerSpeaks:
    """The caller began to speak."""


@dataclass(frozen=True, slots=True)
class CallerPauses:
    """The caller's turn ended; the voice owes an answer."""


@dataclass(frozen=True, slots=True)
class VoiceSpeaks:
    """The first audio of an utterance was handed to the line."""

    item: str


@dataclass(frozen=True, slots=True)
class RanDry:
    """All audio so far was played but the voice has not ended its utterance: it owes the rest."""


@dataclass(frozen=True, slots=True)
class VoiceCut:
    """The voice stopped its own answer; what of it is not played yet must not be."""


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    """The voice finished a response; ``spoke`` tells whether it had speech, ``failed`` whether it broke off."""

    spoke: bool = True
    failed: bool = False


@dataclass(frozen=True, slots=True)
class PlayedOut:
    """The caller heard an utterance to its end."""

    item: str


@dataclass(frozen=True, slots=True)
class ToolOpened:
    """A tool runs. After ``filler_after`` seconds the caller should hear something."""

    id: str
    filler_after: float | None = None


@dataclass(frozen=True, slots=True)
class ToolClosed:
    """A tool ended. ``owed``: its result was given to the voice, which now owes an answer."""

    id: str
    owed: bool = True


@dataclass(frozen=True, slots=True)
class FinishAsked:
    """The model asked to leave the step by this exit, and may."""

    exit: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another voice took over and was asked to go on: it owes an answer."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline may have passed."""


TurnEvent = (
    VoiceAsked | CallerSpeaks | CallerPauses | VoiceSpeaks | RanDry | VoiceCut | VoiceEnded | PlayedOut | ToolOpened
    | ToolClosed | FinishAsked | Replaced | Tick
)  # fmt: skip

# ── Actions ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Hush:
    """Barge-in: silence the line at once, then tell the voice what was heard."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A tool takes long: say its filler."""

    tool: str


@dataclass(frozen=True, slots=True)
class Reprompt:
    """Nobody speaks: ask whether the caller is there. ``count`` starts with 1."""

    count: int


@dataclass(frozen=True, slots=True)
class End:
    """Leave the step."""

    reason: Literal["exit", "silence", "max_duration", "max_turns", "stalled", "failed"]
    exit: str = ""


Action = Hush | Fill | Reprompt | End


@dataclass(slots=True)
class Turn:
    """The state. Make it with the time at which the conversation starts."""

    options: TurnOptions
    started: float
    playing: str | None = None  # the utterance that the caller is hearing
    caller_speaks_since: float | None = None
    owed_since: float | None = None  # the voice owes audio since then
    quiet_since: float | None = None  # nobody speaks since then
    reprompts: int = 0
    turns: int = 0
    failures: int = 0  # answers in a row that failed
    dry: bool = False  # what came of `playing` so far is played, and its rest is owed
    leaving: End | None = None  # how the step ends once the voice has finished speaking
    leaving_since: float = 0.0
    ended: bool = False
    _tools: dict[str, float | None] = field(default_factory=dict)  # id -> when its filler is due

    def __post_init__(self) -> None:
        self.quiet_since = self.started

    def deadline(self) -> float | None:
        """When a `Tick` is due next; None while only an utterance or a tool, which end by themselves, is awaited."""
        options = self.options
        due: list[float] = []
        if options.max_duration is not None:
            due.append(self.started + options.max_duration)
        if self.leaving is not None:
            due.append(self.leaving_since + options.farewell)
        elif self.caller_speaks_since is not None:
            due.append(self.caller_speaks_since + options.longest_speech)
        elif not self._heard_now():
            due += [filler for filler in self._tools.values() if filler is not None]
            if self.owed_since is not None:
                due.append(self.owed_since + options.answer_within)
            elif options.silence is not None and self.quiet_since is not None:
                due.append(self.quiet_since + options.silence)
        return min(due, default=None)

    def _heard_now(self) -> bool:
        """Whether the caller hears the voice."""
        return self.playing is not None and not self.dry

    def handle(self, event: TurnEvent, now: float) -> list[Action]:
        """Take in an event at ``now``; what to do about it. After an `End` nothing happens any more."""
        if isinstance(event, Replaced):
            self._replaced(now)
            return []
        if self.ended:
            return []
        actions = self._take(event, now)
        self._settle(now)
        if any(type(action) is End for action in actions):
            self.ended = True
        return actions

    def _take(self, event: TurnEvent, now: float) -> list[Action]:
        match event:
            case VoiceAsked():
                self.owed_since = now
            case CallerSpeaks():
                return self._caller_speaks(now)
            case CallerPauses():
                self.caller_speaks_since = None
                if self.playing is None and not self.options.duplex:
                    self.owed_since = now
            case VoiceSpeaks(item):
                self.playing, self.dry, self.owed_since = item, False, None
                if not self.options.duplex:
                    self.caller_speaks_since = None
            case RanDry():
                if self.playing is not None and not self.dry:
                    self.dry, self.owed_since = True, now
            case VoiceCut():
                was_playing, self.playing, self.dry, self.owed_since = self.playing, None, False, None
                return [*([Hush()] if was_playing is not None else []), *self._leave()]
            case VoiceEnded(spoke, failed):
                return self._voice_ended(spoke, failed, now)
            case PlayedOut(item):
                if self.playing == item:
                    owes_more = self.owed_since is not None and not self.dry  # asked for something else meanwhile
                    self.playing, self.dry, self.owed_since = None, False, now if owes_more else None
                    return self._leave()
            case ToolOpened(id, filler_after):
                self._tools[id] = None if filler_after is None else now + filler_after
                self.owed_since = None
            case ToolClosed(id, owed):
                self._tools.pop(id, None)
                if not self._tools and (owed or self.dry):
                    self.owed_since = now
            case FinishAsked(exit):
                return self._finish(End("exit", exit), now)
            case Tick():
                return self._tick(now)
        return []

    def _replaced(self, now: float) -> None:
        """A voice broke; whatever it owed, the next one owes now."""
        self.playing, self.dry, self.caller_speaks_since, self.quiet_since = None, False, None, None
        self.failures, self.ended, self.owed_since = 0, False, now

    def _finish(self, end: End, now: float) -> list[Action]:
        """Leave now, or when what is being said was heard."""
        if self.leaving is None:
            self.leaving, self.leaving_since = end, now
        return self._leave() if self.playing is None else []

    def _leave(self) -> list[Action]:
        return [] if self.leaving is None else [self.leaving]

    def _caller_speaks(self, now: float) -> list[Action]:
        if self.options.duplex:
            self.caller_speaks_since = now if self.caller_speaks_since is None else self.caller_speaks_since
            self.reprompts, self.owed_since = 0, None
            return []
        if self.playing is not None and not self.options.allow_interruptions:
            return []
        was_speaking = self.playing is not None or self.owed_since is not None
        if self.caller_speaks_since is None:
            self.caller_speaks_since = now
        self.reprompts = 0
        self.playing, self.dry, self.owed_since = None, False, None
        return [*([Hush()] if was_speaking else []), *self._leave()]

    def _voice_ended(self, spoke: bool, failed: bool, now: float) -> list[Action]:
        self.failures = self.failures + 1 if failed else 0
        if self.failures > 1:
            return [End("failed")]
        if not spoke:
            if self.caller_speaks_since is None and self.playing is None:
                self.owed_since = None  # an empty turn: the silence timer takes over
                if failed and self.options.silence is not None:
                    self.quiet_since = now + min(self.options.failed_within - self.options.silence, 0.0)
            return []
        self.turns += 1
        if self.options.max_turns is not None and self.turns >= self.options.max_turns:
            return self._finish(End("max_turns"), now)
        return []

    def _tick(self, now: float) -> list[Action]:
        options = self.options
        if options.max_duration is not None and now >= self.started + options.max_duration:
            return [End("max_duration")]
        if self.leaving is not None:
            return [Hush(), self.leaving] if now >= self.leaving_since + options.farewell else []
        if self.caller_speaks_since is not None:
            if now >= self.caller_speaks_since + options.longest_speech:
                self.caller_speaks_since = None
                self.owed_since = None if self.owed_since is None else now
            return []
        if self._heard_now():
            return []
        if self.owed_since is not None and now >= self.owed_since + options.answer_within:
            return [End("stalled")]
        for tool, due in self._tools.items():
            if due is not None and now >= due:
                self._tools[tool] = None
                return [Fill(tool)]
        if options.silence is not None and self.quiet_since is not None and now >= self.quiet_since + options.silence:
            self.reprompts += 1
            if self.reprompts > options.reprompts:
                return [End("silence")]
            self.owed_since = now
            return [Reprompt(self.reprompts)]
        return []

    def _settle(self, now: float) -> None:
        """The silence timer runs only while nobody speaks, nothing is owed and no tool runs."""
        speaks = self.playing is not None or self.caller_speaks_since is not None
        if speaks or self.owed_since is not None or self._tools:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now
