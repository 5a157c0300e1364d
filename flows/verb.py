"""What the language must know of a verb. It knows none by name: verbs are handed to it (entry point group
``hookflash.verbs``).

A verb is one object in one file: its fields (a pydantic model built from the types of `flows.fields`), its outcomes,
its own checks. How it acts on a line (`run`) is the engine's business; the language never calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from flows.draft import Draft
from flows.reader import Map

if TYPE_CHECKING:
    from flows.problems import Problem
    from flows.scope import Scope


class Fields(BaseModel):
    """Base of every verb's fields: unknown keys are errors, values are frozen. Field descriptions become hover text."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)

    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Keys that authors expect here and that stand elsewhere, each with what to write instead."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, inner: Callable[[Any], Any], info: core_schema.ValidationInfo) -> Any:
            draft = info.context
            if not isinstance(draft, Draft) or draft.mending is None or not isinstance(value, Map):
                return inner(value)
            return draft.mending.read(cls, value, draft, inner)

        return core_schema.with_info_wrap_validator_function(read, handler(source))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The closed set of ways in which a step can end besides ``done``.

    An unhandled good outcome goes on with the next step; an unhandled bad one goes to the nearest ``catch``, then to
    the flow's ``error`` handler, then to the engine's default. ``any_bad`` names an outcome that stands for every
    unhandled bad one (``failed`` of transfer).
    """

    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    any_bad: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, good ones first."""
        return self.good + self.bad


class Verb(Protocol):
    """A verb as the language sees it. Plugins and the engine's own verbs satisfy it by shape."""

    name: ClassVar[str]  # the key in a step
    summary: ClassVar[str]  # one line, for hover text and the reference
    Fields: ClassVar[type[Fields]]
    shorthand: ClassVar[str | None]  # the field that a bare value fills: `say: Hello` is `say: {text: Hello}`
    falls_through: ClassVar[bool]  # False: no step after it is ever reached from it (goto, hangup, return, stop)
    interactive: ClassVar[bool]  # waits for the caller: breaks up a loop
    needs_caller: ClassVar[bool]  # may not run in a `hangup` handler

    def outcomes(self, fields: Any) -> Outcomes:
        """The outcomes of a step with these fields (menu: its digits; converse: its exits)."""

    def saves(self, fields: Any) -> Mapping[str, str]:
        """Names that ``steps.<id>`` gains beside ``outcome``, with their types (as in ``vars``: string, integer, …)."""

    def sections(self, fields: Any) -> Iterable[str]:
        """Sections of the same flow that the step may jump to or call."""

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """What only this verb knows to be wrong."""
