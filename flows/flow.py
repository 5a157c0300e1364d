"""A flow as the engine walks it: checked, compiled, immutable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from flows.problems import Where
from flows.texts import Condition
from flows.verb import Fields, Outcomes, Verb

HandlerEvent = Literal["hangup", "error", "dtmf", "silence", "provider_down", "max_call", "cost"]
HANDLER_EVENTS: tuple[HandlerEvent, ...] = (
    "hangup", "error", "dtmf", "silence", "provider_down", "max_call", "cost",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step that ended badly runs again: ``max`` more times, after ``delay`` seconds, times ``backoff``
    each time."""

    max: int
    delay: float = 0.0
    backoff: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``path`` is its place in the document (``steps/3/outcomes/person/0``) and stays the same while the
    file does.

    ``outcomes`` holds what the author handles, ``possible`` every way in which the step can end besides ``done``.
    ``timeout`` is in seconds; ``save`` maps names to types.
    """

    id: str | None
    path: str
    verb: Verb
    fields: Fields
    possible: Outcomes
    outcomes: Mapping[str, tuple[Step, ...]]
    when: Condition | None
    save: Mapping[str, str]
    timeout: float | None
    retry: Retry | None
    catch: tuple[Step, ...] | None
    disabled: bool
    nested: tuple[tuple[Step, ...], ...]  # lists of steps inside the verb's own fields (repeat, switch)
    where: Where

    def inner(self) -> Iterator[tuple[Step, ...]]:
        """Every list of steps inside this step: outcomes, catch, and those in the verb's own fields."""
        yield from self.outcomes.values()
        if self.catch is not None:
            yield self.catch
        yield from self.nested


@dataclass(frozen=True, slots=True)
class Handler:
    """What happens on an event at any step: ``steps``, or a jump to the section ``goto``. ``digits`` only with
    ``dtmf``."""

    event: HandlerEvent
    digits: str | None
    steps: tuple[Step, ...] | None
    goto: str | None
    where: Where


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable or input. ``sensitive`` values are masked wherever they would be written down."""

    type: str
    default: Any = None
    sensitive: bool = False
    description: str = ""
    required: bool = False  # an input without a default must be given


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow of one revision. ``revision`` is a hash of its file and of every file that it names.

    ``max_call`` is in seconds; ``recover`` is the section at which a call goes on after a restart of the engine.
    """

    name: str
    version: int
    revision: str
    file: str
    vars: Mapping[str, Variable]
    input: Mapping[str, Variable]
    defaults: Mapping[str, Mapping[str, Any]]
    max_call: float | None
    handlers: tuple[Handler, ...]
    steps: tuple[Step, ...]
    sections: Mapping[str, tuple[Step, ...]]
    recover: str | None
    description: str = ""
    ids: Mapping[str, Step] = field(default_factory=dict)
    account: str | None = None  # whose keys and limits count at the providers, when its route names none
    text_model: str | None = None  # the provider that writes for it; the engine's own when absent
    max_cost: Decimal | None = None  # of a call, in the currency of the engine

    def walk(self) -> Iterator[Step]:
        """Every step of the flow, nested ones included, in the order of the file."""
        lists = [self.steps, *self.sections.values()]
        lists += [handler.steps for handler in self.handlers if handler.steps is not None]
        for steps in lists:
            yield from walk(steps)


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """These steps and every step inside them."""
    for step in steps:
        yield step
        for inner in step.inner():
            yield from walk(inner)
