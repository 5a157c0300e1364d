"""A verb as the engine sees it: what the language knows of it (`flows.verb.Verb`), and how it acts on a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from flows.problems import Problem, Where, did_you_mean, has
from flows.verb import Fields, Outcomes

if TYPE_CHECKING:
    from engine.call import Call
    from engine.outcome import Outcome
    from flows.flow import Step
    from flows.scope import Scope
    from flows.secrets import Assignment

GROUP = "hookflash.verbs"


class Verb:
    """Base with the usual answers; a verb overrides what differs. See `flows.verb.Verb` for what each means."""

    name: ClassVar[str]
    summary: ClassVar[str]
    Fields: ClassVar[type[Fields]]
    shorthand: ClassVar[str | None] = None
    falls_through: ClassVar[bool] = True
    interactive: ClassVar[bool] = False
    needs_caller: ClassVar[bool] = True
    takes_save: ClassVar[bool] = False  # `save` of a step names what it keeps of what comes from outside
    takes_digits: ClassVar[bool] = False  # reads keys itself, or runs steps that may: `dtmf` handlers stay quiet
    repeats: ClassVar[bool] = False  # runs the steps in its fields again and again: drawn as a loop
    ends_done: ClassVar[bool] = True  # may end with `done`; False: every way to end has a name of its own
    outcome_word: ClassVar[str] = "outcome"  # what authors call its outcomes
    failure: ClassVar[str | None] = "error"  # the outcome of a step that raised; None: nothing in it can go wrong
    ways_to_end: ClassVar[Outcomes] = Outcomes()

    def outcomes(self, fields: Any) -> Outcomes:
        """The outcomes of a step with these fields."""
        return self.ways_to_end

    def saves(self, fields: Any) -> Mapping[str, str]:
        """What ``steps.<id>`` gains, with types."""
        return {}

    def sections(self, fields: Any) -> Iterable[str]:
        """Sections that the step may go to or call."""
        return ()

    def assigns(self, fields: Any, step: Step) -> Iterable[Assignment]:
        """What the step gives values to, and from what, so that sensitive values can be followed."""
        return ()

    def reads_keys(self, fields: Any) -> bool:
        """Whether a step with these fields reads keys itself; `takes_digits` says it for all steps of the verb."""
        return self.takes_digits

    def keys(self, fields: Any) -> str:
        """The keys that such a step takes for itself, beside those that are outcomes: a `dtmf` handler cannot have
        them meanwhile."""
        return ""

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """What only this verb knows to be wrong."""
        return ()

    async def run(self, step: Step, call: Call) -> Outcome:
        """Act on the call. May raise `StepError`, or one of the ways out of `engine.outcome`. Cancelled on hang-up."""
        raise NotImplementedError


def unknown(scope: Scope, where: Where, kind: str, name: str, known: Iterable[str]) -> Problem:
    """The problem of a name that does not exist, with the nearest that does."""
    known = list(known)
    code = "E301" if kind in ("variable", "input") else "E302"
    return scope.problem(where, code, f"unknown {kind} '{name}'{did_you_mean(name, known) or has(known)}")


def cannot_recognise(scope: Scope, voice: str | None) -> Iterable[Problem]:
    """The problem of a voice that is named under ``listening`` and does not exist, or writes no speech down."""
    if voice is None or scope.voices is None:
        return
    if voice not in scope.voices:
        yield unknown(scope, scope.at("listening"), "voice", voice, scope.voices)
    elif not scope.voices[voice].recognises:
        able = ", ".join(sorted(name for name, facts in scope.voices.items() if facts.recognises)) or "none"
        message = f"the voice '{voice}' recognises no speech (installed voices that do: {able})"
        yield scope.problem(scope.at("listening"), "E315", message)


def installed() -> dict[str, Verb]:
    """All verbs, ours and plugins', by name. Two verbs of one name are an error."""
    verbs: dict[str, Verb] = {}
    for point in entry_points(group=GROUP):
        verb: Verb = point.load()()
        if verb.name in verbs:
            raise ValueError(f"two installed packages bring a verb named {verb.name!r}: {point.value} is one of them")
        verbs[verb.name] = verb
    return verbs
