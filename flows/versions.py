"""Two versions of a flow side by side: which share of calls gets ``next``, who stays with it, and when it is given up.

``NAME.next.flow.yaml`` holds the next version of the flow that it names; every other ``*.flow.yaml`` is stable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.draft import Draft
from flows.expressions import CONTEXT, ExpressionError, Names
from flows.hours import known_keys
from flows.problems import MistakeError
from flows.reader import Map
from flows.texts import Expression

NEXT_SUFFIX = ".next.flow.yaml"
MAX_CALLS = 10_000
_ROUTED = {
    name: CONTEXT[name]
    for name in (
        "call.id", "call.direction", "call.trunk", "call.did", "call.headers", "caller.number", "caller.name",
        "caller.anonymous",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RollBack:
    """When ``next`` is given up: more than so many per cent of its last ``calls`` calls went wrong."""

    calls: int
    failed: int | None = None  # per cent: the flow failed
    handoff_failed: int | None = None  # per cent: people were rung, and nobody answered


@dataclass(frozen=True, slots=True)
class Versions:
    """How a route divides its calls. ``share`` is what ``next`` gets, 0.0 to 1.0."""

    share: float
    sticky_by: Expression | None = None
    roll_back: RollBack | None = None

    def is_next(self, flow: str, context: Mapping[str, Any]) -> bool:
        """Whether this call gets ``next``: always the same for the same value of ``sticky_by``, on every engine.

        A greater share keeps those who have ``next`` already. Where ``sticky_by`` gives no value (an anonymous caller),
        and where there is none, the call's id decides.
        """
        try:
            key = None if self.sticky_by is None else self.sticky_by.evaluate(context)
        except ExpressionError:  # a header that this call lacks
            key = None
        if key in (None, ""):
            key = context["call"]["id"]
        digest = hashlib.sha256(f"{flow}\0{key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < self.share


def is_next(path: Path) -> bool:
    """Whether this file holds the next version of its flow."""
    return path.name.endswith(NEXT_SUFFIX)


def sticky_names() -> Names:
    """What ``sticky_by`` may read: what is known of a call before its flow."""
    return Names(_ROUTED)


def read_versions(route: Map, draft: Draft) -> Versions | None:
    """``version``, ``sticky_by`` and ``roll_back`` of a route, or None; what is wrong is in the draft."""
    given = route.get("version")
    if given is None:
        for key in ("sticky_by", "roll_back"):
            if key in route:
                draft.report(route.key_at[key], "E202", f"'{key}' needs a 'version', such as {{stable: 95, next: 5}}")
        return None
    if not isinstance(given, Map):
        draft.report(route.value_at["version"], "E203", "'version' is a mapping, such as {stable: 95, next: 5}")
        return None
    known_keys(given, ("stable", "next"), draft)
    stable, next_ = (_whole(given, key, draft, most=1_000_000) for key in ("stable", "next"))
    if stable is None or next_ is None:
        return None
    if stable + next_ == 0:
        draft.report(route.value_at["version"], "E203", "one of 'stable' and 'next' must get calls")
        return None
    sticky_by = None
    if route.get("sticky_by") is not None:
        try:
            sticky_by = Expression.read(route["sticky_by"], draft)
        except MistakeError as mistake:
            draft.report(mistake.where, mistake.code, mistake.message)
    return Versions(next_ / (stable + next_), sticky_by, _roll_back(route, draft))


def _roll_back(route: Map, draft: Draft) -> RollBack | None:
    given = route.get("roll_back")
    if given is None:
        return None
    example = "{calls: 50, failed: 10, handoff_failed: 20}"
    if not isinstance(given, Map):
        draft.report(route.value_at["roll_back"], "E203", f"'roll_back' is a mapping, such as {example}")
        return None
    known_keys(given, ("calls", "failed", "handoff_failed"), draft)
    if "failed" not in given and "handoff_failed" not in given:
        message = f"'roll_back' needs 'failed' or 'handoff_failed' in per cent, such as {example}"
        draft.report(route.value_at["roll_back"], "E202", message)
        return None
    calls = _whole(given, "calls", draft, least=1, most=MAX_CALLS) if "calls" in given else 50
    failed, handoff_failed = (
        _whole(given, key, draft, most=100) if key in given else None for key in ("failed", "handoff_failed")
    )
    return None if calls is None else RollBack(calls, failed, handoff_failed)


def _whole(given: Map, key: str, draft: Draft, *, least: int = 0, most: int) -> int | None:
    value = given.get(key)
    if value is None:
        draft.report(given.where, "E202", f"'{key}' is missing: a whole number from {least} to {most:,}")
    elif not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        draft.report(given.value_at[key], "E203", f"'{key}' is a whole number from {least} to {most:,}")
    else:
        return int(value)
    return None
