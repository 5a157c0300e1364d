"""How a step ends, and the ways in which a flow leaves its straight path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.flow import Step

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a step: its name, what ``steps.<id>`` gains, and words for the trace."""

    name: str = "done"
    data: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    detail: str = ""


DONE = Outcome()


class Leave(Exception):  # noqa: N818 - not an error: the flow's own way out of a list of steps
    """Base of the ways out of the list of steps that is running."""


class Goto(Leave):
    """Go on with a section and do not come back."""

    def __init__(self, section: str) -> None:
        super().__init__(section)
        self.section = section


class Return(Leave):
    """Leave the section or flow that was called, with values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.values = values


class Stop(Leave):
    """The flow is over; the line is hung up."""

    def __init__(self, *, cause: int = 16, result: str = "", by: str = "flow", failed: bool = False) -> None:
        super().__init__(result)
        self.cause = cause
        self.result = result
        self.by = by
        self.failed = failed  # something went wrong, and the flow did not say what then


class Failed(Leave):
    """Base of the ways out by which a step that ended badly takes the call elsewhere."""

    def __init__(self, step: Step, outcome: Outcome) -> None:
        super().__init__(
            f"{step.verb.name} at {step.where}: {outcome.name}{': ' if outcome.detail else ''}{outcome.detail}"
        )
        self.step = step
        self.outcome = outcome


class Unhandled(Failed):
    """A step ended badly and the flow did not say what then."""


class Endless(Failed):
    """The flow went in circles, and not for the first time: no `catch` and no flow that was called answers for it."""


class StepError(Exception):
    """A step could not do its work. Its outcome is ``outcome``, or the one that the verb names for failures."""

    def __init__(self, message: str, outcome: str = "") -> None:
        super().__init__(message)
        self.outcome = outcome
