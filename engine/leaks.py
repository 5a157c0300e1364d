"""Secrets that a flow would send away: what the check says of sensitive values in messages."""

from __future__ import annotations

from collections.abc import Iterable

from flows.fields import Expression
from flows.problems import Problem
from flows.scope import Scope


def leaks(scope: Scope, expressions: Iterable[Expression], by: str) -> Iterable[Problem]:
    """A problem for every sensitive value that these expressions read; ``by`` says on which way it would leave."""
    for expression in expressions:
        for name in expression.names:
            if _sensitive(scope, name):
                message = (
                    f"'{name}' is sensitive and must not leave {by}; what may be shown of it belongs in a variable of "
                    'its own, such as set: {shown: "${mask(…)}"}'
                )
                yield scope.problem(expression.where, "E203", message)


def _sensitive(scope: Scope, name: str) -> bool:
    """Whether a name of an expression is declared so: a variable, an input, or what a sensitive step read."""
    kind, _, rest = name.partition(".")
    own = rest.partition(".")[0]
    if kind in ("vars", "input"):
        declared = (scope.vars if kind == "vars" else scope.input).get(own)
        return declared is not None and declared.sensitive
    step = scope.flows[scope.flow].ids.get(own) if kind == "steps" and scope.flow in scope.flows else None
    return step is not None and bool(getattr(step.fields, "sensitive", False)) and not name.endswith(".outcome")
