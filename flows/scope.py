"""What a verb's own check is given: the flow around the step and what else exists, read-only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from flows.problems import NOWHERE, Problem, Where
from flows.reader import Map, Seq

if TYPE_CHECKING:
    from flows.flow import Flow, Step, Variable
    from flows.resources import Resources
    from flows.secrets import Chains


class VoiceFacts(Protocol):
    """What is known of a voice without opening it. The voices' own capabilities satisfy it by shape."""

    @property
    def tools(self) -> bool:
        """Whether the model can call tools."""

    @property
    def understands(self) -> bool:
        """Whether it understands speech."""

    @property
    def recognises(self) -> bool:
        """Whether it can write down speech by itself."""

    @property
    def formats(self) -> Collection[Any]:
        """The audio that it takes; none: it holds no conversation."""

    @property
    def writes(self) -> bool:
        """Whether it has a text model."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of one step. ``voices`` is None when it is not known which are installed; ``text_model`` names
    the provider that writes for this flow, "" when there is none, None when that is not known."""

    flow: Flow
    step: Step
    given: Map
    vars: Mapping[str, Variable]
    input: Mapping[str, Variable]
    sections: frozenset[str]
    flows: Mapping[str, Flow]
    resources: Resources
    voices: Mapping[str, VoiceFacts] | None = None
    text_model: str | None = None
    secrets: Chains = field(default_factory=dict)  # names of the flow that hold a sensitive value
    saved: Map = field(default_factory=Map)  # the step's `save` as written
    unread: Collection[str] = ()  # flows of which a part could not be read

    def problem(self, where: Where, code: str, message: str) -> Problem:
        """A problem to report. Codes that start with ``W`` are warnings."""
        return Problem.at(self.step.where if where is NOWHERE else where, code, message)

    def at(self, *path: str | int) -> Where:
        """The place of what stands under this path in the step's fields as written (``at("exits", "person")``)."""
        where, _ = self._follow(path)
        return where

    def key(self, *path: str | int) -> Where:
        """The place of the last key of the path."""
        _, holder = self._follow(path[:-1])
        last = path[-1] if path else None
        return holder.key_at.get(str(last), self.at(*path)) if isinstance(holder, Map) else self.at(*path)

    def _follow(self, path: tuple[str | int, ...]) -> tuple[Where, Any]:
        """As far as the path leads: the place and the value."""
        where: Where = self.step.where
        value: Any = self.given
        for part in path:
            known = range(len(value)) if isinstance(value, Seq) else value if isinstance(value, Map) else ()
            if part not in known:
                break
            where, value = value.value_at[part], value[part]
        return where, value
