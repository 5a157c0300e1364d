"""What the check says of steps that have something written, where it is known that nobody writes."""

from __future__ import annotations

from collections.abc import Iterable

from flows.problems import Problem, Where
from flows.scope import Scope


def needs_text_model(scope: Scope, where: Where, what: str, instead: str = "") -> Iterable[Problem]:
    """A problem when nobody writes for this flow: an error, or a warning when something else happens ``instead``."""
    if scope.text_model != "":
        return
    able = sorted(name for name, facts in (scope.voices or {}).items() if facts.writes)
    which = f" ({', '.join(able)})" if able else ""
    otherwise = f"; without one {instead}" if instead else ""
    message = (
        f"{what} needs a text model{otherwise}: name a provider that has one{which} in the flow, such as "
        "'defaults: {text_model: NAME}', or in the engine's setting 'text'"
    )
    yield scope.problem(where, "W406" if instead else "E311", message)
