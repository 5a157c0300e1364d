"""Turn-taking as a pure state machine: events and a clock in, actions out.

It knows who speaks, what is awaited and until when. It has no I/O, no timers and no asyncio: `handle` takes an event
and the time (seconds, any monotonic clock) and returns what to do; `deadline` says when a `Tick` is due. The names
of the knobs are LiveKit's where it has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from engine.turn_events import (
    Action,
    CallerPauses,
    CallerSounds,
    CallerSpeaks,
    Comfort,
    End,
    Fill,
    FinishAsked,
    Hush,
    Nudge,
    PlayedOut,
    RanDry,
    Replaced,
    Reprompt,
    Tick,
    ToolClosed,
    ToolOpened,
    TurnEvent,
    VoiceAsked,
    VoiceCut,
    VoiceEnded,
    VoiceSpeaks,
)  # fmt: skip

FELL_SILENT: Final = 1.4  # seconds
WAITED: Final = 0.8  # seconds of a caller's pause, at most, that count as waiting before the voice calls it one
WAITED_DUPLEX: Final = 1.3  # the same for a voice that tells pauses by the words which did not come
NOTICED: Final = 1.0  # seconds from a sound to a voice's word that the caller speaks


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
    comfort_after: float | None = 1.6  # the caller waits for so long and hears nothing: they get something to hear
    fell_silent_after: float = FELL_SILENT  # the line hears nothing of a caller who "speaks" for so long: they do not
    unreported: int = 4  # sounds of the caller, as the line hears them, of which a voice should have said something


@dataclass(slots=True)
class Turn:
    """The state. Make it with the time at which the conversation starts."""

    options: TurnOptions
    started: float
    playing: str | None = None  # the utterance that the caller is hearing
    caller_speaks_since: float | None = None
    owed_since: float | None = None  # the voice owes audio since then
    quiet_since: float | None = None  # nobody speaks since then
    waiting_since: float | None = None  # the caller hears nothing since then, and waits for something
    comforting: bool = False  # while they wait they hear something
    asking_again: bool = False  # an answer failed, and the caller is asked again at once
    sounded_at: float | None = None  # the line heard the caller, last at
    sounds: int = 0  # that it heard and the voice has said nothing of
    fell_silent: bool = False  # the line says that the caller's turn is over; the voice has not said so
    paused: bool = False  # the caller's turn is over; a voice that owes no answer may still give one
    nudged: bool = False  # the voice missed a turn of the caller's, and was told; noise would do that for ever
    reprompts: int = 0
    turns: int = 0
    failures: int = 0  # answers in a row that failed, whatever the voice was told to say in between
    prompted: bool = False  # the next answer is what it was told to say
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
        if options.max_duration is not None and self.leaving is None:
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
            if self._comfort_due is not None:
                due.append(self._comfort_due)
        return min(due, default=None)

    @property
    def _comfort_due(self) -> float | None:
        after = self.options.comfort_after
        return None if after is None or self.waiting_since is None or self.comforting else self.waiting_since + after

    def _heard_now(self) -> bool:
        """Whether the caller hears the voice."""
        return self.playing is not None and not self.dry

    @property
    def awaits_silence(self) -> bool:
        """Whether anything may come of it that the line does not hear the caller."""
        return self.caller_speaks_since is not None or self.sounds > 0

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
                self.owed_since, self.prompted = now, True
            case CallerSpeaks():
                return self._caller_speaks(now)
            case CallerPauses():
                self._reported()
                self.caller_speaks_since, self.nudged = None, False
                if self.playing is None:
                    self.owed_since, self.paused = None if self.options.duplex else now, True
                    most = WAITED_DUPLEX if self.options.duplex else WAITED
                    since = max(now - most, now if self.sounded_at is None else self.sounded_at)
                    self.waiting_since = since if self.waiting_since is None else min(since, self.waiting_since)
            case CallerSounds(loud):
                return self._caller_sounds(loud, now)
            case VoiceSpeaks(item):
                self.playing, self.dry, self.owed_since = item, False, None
                if not self.options.duplex:
                    self.caller_speaks_since = None
                self._reported()
            case RanDry():
                if self.playing is not None and not self.dry:
                    self.dry, self.owed_since = True, now
            case VoiceCut():
                return self._voice_cut(now)
            case VoiceEnded():
                return self._voice_ended(event, now)
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
                if not self._tools:
                    self.waiting_since, self.comforting = None, False  # whatever was heard meanwhile is over
                    if owed or self.dry:
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
        self.waiting_since, self.comforting = now, False
        self._reported()

    def _finish(self, end: End, now: float) -> list[Action]:
        """Leave now, or when what is being said was heard."""
        if self.leaving is None:
            self.leaving, self.leaving_since = end, now
        elif end.reason == "exit" and self.leaving.reason != "exit":
            self.leaving = end  # the caller was told so, in the words that a limit lets end
        return self._leave() if self.playing is None else []

    def _leave(self) -> list[Action]:
        return [] if self.leaving is None else [self.leaving]

    def _caller_speaks(self, now: float) -> list[Action]:
        if self.options.duplex:
            if self.waiting_since is not None and self.sounded_at is not None and now > self.sounded_at + NOTICED:
                return []  # late words of what was said before
            self.caller_speaks_since = now if self.caller_speaks_since is None else self.caller_speaks_since
            self.reprompts, self.owed_since, self.nudged = 0, None, False
            self._reported()
            return []
        if self.playing is not None and not self.options.allow_interruptions:
            return []
        was_speaking = self.playing is not None or self.owed_since is not None
        if self.caller_speaks_since is None:
            self.caller_speaks_since = now
        self.reprompts, self.nudged = 0, False
        self._reported()
        self.playing, self.dry, self.owed_since = None, False, None
        return [*([Hush()] if was_speaking else []), *self._leave()]

    def _voice_cut(self, now: float) -> list[Action]:
        """Somebody spoke, says the voice, which may not say so again; the line will hear whether it is true."""
        if self.playing is None:
            return self._leave()
        self.playing, self.dry, self.owed_since = None, False, None
        if self.caller_speaks_since is None:
            self.caller_speaks_since = now
        return [Hush(), *self._leave()]

    def _reported(self) -> None:
        """The voice has said something of who speaks."""
        self.sounds, self.fell_silent, self.paused = 0, False, False

    def _caller_sounds(self, loud: bool, now: float) -> list[Action]:
        """A voice may lose the end of what the caller said, all of it, or hear somebody when nobody spoke."""
        if loud:
            return self._caller_is_heard(now)
        since, sounded_at = self.caller_speaks_since, self.sounded_at
        if since is not None:
            spoke = sounded_at is not None and sounded_at > since - NOTICED
            silent_since = sounded_at if spoke and sounded_at is not None else since
            if now < silent_since + self.options.fell_silent_after:
                return []
            self.caller_speaks_since, self.fell_silent = None, True
            if self._heard_now():
                return []
            self.owed_since, self.waiting_since = None if self.options.duplex else now, silent_since
            self.paused = self.paused or self.options.duplex
            return [] if spoke or self.options.duplex else [Nudge()]
        if sounded_at is None or now < sounded_at + self.options.fell_silent_after:
            return []
        sounds, self.sounds = self.sounds, 0
        busy = self._heard_now() or self.owed_since is not None or self._tools or self.leaving is not None
        if sounds < self.options.unreported or busy or self.nudged:
            return []
        self.nudged, self.owed_since, self.waiting_since = True, now, sounded_at
        return [Nudge()]

    def _caller_is_heard(self, now: float) -> list[Action]:
        self.sounded_at = now
        if self.fell_silent:
            return self._caller_speaks(now)
        if self.caller_speaks_since is None and not self._heard_now():
            self.sounds += 1
            if self.waiting_since is not None:  # who speaks does not wait in silence
                self.waiting_since, self.comforting = now, False
        return []

    def _voice_ended(self, ended: VoiceEnded, now: float) -> list[Action]:
        empty = ended.empty and self.owed_since is not None and not self._tools
        failed = ended.failed or empty  # for the caller it is the same
        if failed:
            self.failures += 1
        elif not self.prompted:
            self.failures = 0
        self.prompted = False
        if self.failures > 1 and self.leaving is None:  # a known way out is kept
            return [End("failed")]
        if not ended.spoke:
            nobody = self.caller_speaks_since is None and self.playing is None
            if failed and nobody and self.options.silence is not None:  # its timer takes over
                self.owed_since, self.asking_again = None, True
                self.quiet_since = now + min(self.options.failed_within - self.options.silence, 0.0)
            return []
        self.turns += 1
        if self.options.max_turns is not None and self.turns >= self.options.max_turns:
            return self._finish(End("max_turns"), now)
        return []

    def _tick(self, now: float) -> list[Action]:
        options = self.options
        if self.leaving is not None:
            return [Hush(), self.leaving] if now >= self.leaving_since + options.farewell else []
        if options.max_duration is not None and now >= self.started + options.max_duration:
            return self._finish(End("max_duration"), now)
        if self.caller_speaks_since is not None:
            if now >= self.caller_speaks_since + options.longest_speech:
                self.caller_speaks_since = None
                self.owed_since = None if self.owed_since is None else now
            return []
        if self._heard_now():
            return []
        if self.owed_since is not None and now >= self.owed_since + options.answer_within:
            return [End("stalled")]
        if self._comfort_due is not None and now >= self._comfort_due:
            self.comforting = True
            return [Comfort()]
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
        self.asking_again = self.asking_again and self.quiet_since is not None
        self.paused = self.paused and self.reprompts == 0
        waits = self.owed_since is not None or self._tools or self.asking_again or self.paused
        if not waits or self._heard_now() or self.caller_speaks_since is not None:
            self.waiting_since, self.comforting = None, False
        elif self.waiting_since is None:
            self.waiting_since = now
