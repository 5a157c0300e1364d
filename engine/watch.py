"""What can be seen of a live call beside its record, and who is told when it changes.

A call says that something changed, never what: that costs an attribute and a comparison when nobody watches, and
nothing per audio frame. Who watches looks at the call then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.call import Call
    from engine.run import Walker
    from engine.turn import Turn

Doing = Literal["listening", "caller_speaking", "thinking", "ai_speaking"]


@dataclass(slots=True)
class Live:
    """What no record keeps of a call."""

    turn: Turn | None = None  # of the conversation that is under way
    walker: Walker | None = None  # of the innermost flow that runs, or ran last
    voice: str | None = None  # which voice talks, or talked last
    response_ms: int | None = None  # from the end of the caller's last turn to the first audio of the answer
    caller_says: str = ""  # what is being said and is not in the transcript yet
    voice_says: str = ""

    def doing(self) -> Doing | None:
        """Who speaks in the conversation; None without one."""
        turn = self.turn
        if turn is None:
            return None
        if turn.caller_speaks_since is not None:
            return "caller_speaking"
        if turn.playing is not None and not turn.dry:
            return "ai_speaking"
        return "listening" if turn.quiet_since is not None else "thinking"


class Watch:
    """From the calls of an engine to whoever watches them. ``told`` must not wait and not fail; None: nobody."""

    def __init__(self) -> None:
        self.told: Callable[[Call], None] | None = None

    def changed(self, call: Call) -> None:
        """Something of this call is another than before."""
        if self.told is not None:
            self.told(call)
