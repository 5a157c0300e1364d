"""Secrets that a flow would send away: what the check says of sensitive values in messages."""

from __future__ import annotations

from collections.abc import Iterable

from flows.addresses import instead_of, is_address
from flows.fields import Expression, Text
from flows.problems import Problem
from flows.scope import Scope
from flows.secrets import chain_of

REMEDY = 'what may be shown of it belongs in a variable of its own, such as set: {shown: "${mask(…)}"}'


def leaks(scope: Scope, expressions: Iterable[Expression], by: str) -> Iterable[Problem]:
    """A problem for every sensitive value that these expressions read; ``by`` says on which way it would leave."""
    for expression in expressions:
        for name in expression.names:
            chain = chain_of(name, scope.secrets)
            if chain is None:
                continue
            what = f"'{name}' is sensitive" if len(chain) == 1 else f"'{name}' holds '{chain[0]}', which is sensitive"
            way = "" if len(chain) == 1 else f" ({' → '.join(chain)})"
            yield scope.problem(expression.where, "E203", f"{what}{way} and must not leave {by}; {REMEDY}")


def whole_address(scope: Scope, path: Text, *at: str) -> Iterable[Problem]:
    """A problem when the path of a request, which stands under ``at``, is an address of its own."""
    if is_address(path.source):
        message = f"a path is below the address of its endpoint, and this is a whole one: {instead_of(path.source)}"
        yield scope.problem(scope.at(*at), "E203", message)
