"""A library: every flow, route and resource of one revision. Immutable, so live calls keep theirs while new ones
take the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.flow import Flow
from flows.resources import Resources
from flows.routes import Route, find_route


@dataclass(frozen=True, slots=True)
class Library:
    """What the engine runs. ``revision`` is a hash of every file in it, ``files`` where they are.

    ``next`` holds the next versions of flows, by the same names. ``secret`` has, by the revision of a flow, the names
    of values that must not be written down: those that are sensitive, those that become so, and those that take up
    the value of one of them.
    """

    flows: Mapping[str, Flow]
    routes: tuple[Route, ...] = ()
    resources: Resources = field(default_factory=Resources)
    revision: str = ""
    files: frozenset[Path] = frozenset()
    next: Mapping[str, Flow] = field(default_factory=dict)
    secret: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def route(self, facts: Mapping[str, Any], now: datetime | None = None) -> Route | None:
        """The first route that fits a call's facts: ``did``, ``caller``, ``trunk``, ``direction``, ``headers``,
        ``tenant``.

        A library of one flow and no routes gives every call to that flow.
        """
        if not self.routes and len(self.flows) == 1:
            return Route(flow=next(iter(self.flows)))
        return find_route(self.routes, facts, self.resources.calendars, now or datetime.now(UTC))
