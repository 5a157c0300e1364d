"""What a verb's own check is given: the flow around the step and what else exists, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from flows.problems import NOWHERE, Problem, Where
from flows.reader import Map, Seq

if TYPE_CHECKING:
    from flows.flow import Step, Variable
    from flows.resources import Resources


class VoiceFacts(Protocol):
    """What is known of a voice without opening it. The voices' own capabilities satisfy it by shape."""

    @property
    def tools(self) -> bool:
        """Whether the model can call tools."""

    @property
    def understands(self) -> bool:
        """Whether it understands speech."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of one step. ``voices`` is None when it is not known which are installed."""

    flow: str
    step: Step
    given: Map
    vars: Mapping[str, Variable]
    input: Mapping[str, Variable]
    sections: frozenset[str]
    flows: frozenset[str]
    resources: Resources
    voices: Mapping[str, VoiceFacts] | None = None
    file: str = field(default="")

    def problem(self, where: Where, code: str, message: str) -> Problem:
        """A problem to report. Codes that start with ``W`` are warnings."""
        return Problem.at(self.step.where if where is NOWHERE else where, code, message)

    def at(self, *path: str | int) -> Where:
        """The place of what stands under this path in the step's fields as written (``at("exits", "person")``)."""
        where = self.step.where
        value: object = self.given
        for part in path:
            if (isinstance(value, Map) and isinstance(part, str) and part in value) or (isinstance(value, Seq) and isinstance(part, int) and part < len(value)):
                where, value = value.value_at[part], value[part]
            else:
                break
        return where

    def key(self, *path: str | int) -> Where:
        """The place of the last key of the path."""
        value: object = self.given
        for part in path[:-1]:
            if isinstance(value, Map) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, Seq) and isinstance(part, int) and part < len(value):
                value = value[part]
        last = path[-1] if path else None
        return value.key_at.get(str(last), self.at(*path)) if isinstance(value, Map) else self.at(*path)
