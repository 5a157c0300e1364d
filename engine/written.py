"""What the check says of steps that need a text model."""

from __future__ import annotations

from collections.abc import Iterable

from flows.problems import Problem, Where
from flows.scope import Scope


def needs_text_model(scope: Scope, where: Where, what: str) -> Iterable[Problem]:
    """A problem when it is known that nobody writes for this flow."""
    if scope.text_model == "":
        able = sorted(name for name, facts in (scope.voices or {}).items() if facts.writes)
        which = f" ({', '.join(able)})" if able else ""
        message = (
            f"{what} needs a text model: name a provider that has one{which} in the flow, such as "
            "'defaults: {text_model: NAME}', or in the engine's setting 'text'"
        )
        yield scope.problem(where, "E311", message)
