"""What turn-taking is told, and what it answers: the events and actions of `engine.turn`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
class CallerSounds:
    """What the line itself hears of the caller, five times a second: a sound, or nothing."""

    loud: bool


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
    """The voice finished a response; ``spoke`` tells whether it had speech, ``failed`` whether it broke off, ``empty``
    whether it was whole and had nothing at all, neither speech nor a call of a tool.
    """

    spoke: bool = True
    failed: bool = False
    empty: bool = False


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
    VoiceAsked | CallerSpeaks | CallerPauses | CallerSounds | VoiceSpeaks | RanDry | VoiceCut | VoiceEnded | PlayedOut
    | ToolOpened | ToolClosed | FinishAsked | Replaced | Tick
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
class Comfort:
    """The caller waits: let them hear something until `Turn.comforting` is over."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """The voice was interrupted by nobody, or has not heard who spoke: ask it to go on."""


@dataclass(frozen=True, slots=True)
class End:
    """Leave the step."""

    reason: Literal["exit", "silence", "max_duration", "max_turns", "stalled", "failed"]
    exit: str = ""


Action = Hush | Fill | Reprompt | Comfort | Nudge | End
