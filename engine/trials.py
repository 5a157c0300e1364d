"""Which version of a flow a call gets, and the end of a ``next`` under which calls go wrong."""

from __future__ import annotations

from collections import deque
from typing import Any

import structlog

from engine.arrived import known_of
from engine.line import Line
from engine.metrics import Metrics
from engine.record import CallRecord
from flows.flow import Flow
from flows.library import Library
from flows.routes import Route
from flows.versions import RollBack

log = structlog.get_logger()


class Trials:
    """What became of calls under the next versions of flows, by the revision of each.

    A revision that was rolled back stays so until the engine is started anew; a better one begins with no past.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ends: dict[str, deque[frozenset[str]]] = {}  # what went wrong with the last calls
        self._rolled_back: dict[str, str] = {}  # why

    def rolled_back(self, flow: Flow) -> str | None:
        """Why this version gets no calls any more: ``failed`` or ``handoff_failed``; None when it may."""
        return self._rolled_back.get(flow.revision)

    def choose(self, library: Library, route: Route, line: Line) -> Flow:
        """The flow of this route for a new call."""
        next_ = library.next.get(route.flow)
        if next_ is None or route.versions is None or self.rolled_back(next_):
            return library.flows[route.flow]
        return next_ if route.versions.is_next(route.flow, _context(line)) else library.flows[route.flow]

    def ended(self, flow: Flow, roll_back: RollBack, record: CallRecord) -> None:
        """A call under a next version is over. One that the engine itself cut off tells nothing."""
        if record.outcome == "lost":
            return
        ends = self._ends.get(flow.revision)
        if ends is None or ends.maxlen != roll_back.calls:
            ends = self._ends[flow.revision] = deque(ends or (), maxlen=roll_back.calls)
        ends.append(_wrong(record))
        reason = _exceeded(ends, roll_back)
        if reason is not None and not self.rolled_back(flow):
            self._rolled_back[flow.revision] = reason
            self._metrics.flow_roll_backs.labels(flow.name, reason).inc()
            log.error(
                "the next version of a flow is rolled back: new calls get the stable one",
                flow=flow.name, revision=flow.revision, file=flow.file, reason=reason,
                calls=sum(reason in wrong for wrong in ends), of=len(ends), limit_percent=getattr(roll_back, reason),
            )  # fmt: skip


def _wrong(record: CallRecord) -> frozenset[str]:
    wrong = set()
    if record.error:  # also one that a handler dealt with: it is this version's
        wrong.add("failed")
    if record.attempts and all(attempt.status != "answered" for attempt in record.attempts):
        wrong.add("handoff_failed")
    return frozenset(wrong)


def _exceeded(ends: deque[frozenset[str]], roll_back: RollBack) -> str | None:
    """Per cent of the whole window, also while it fills: that many calls went wrong, whatever comes."""
    for reason in ("failed", "handoff_failed"):
        limit = getattr(roll_back, reason)
        if limit is not None and sum(reason in wrong for wrong in ends) * 100 > limit * roll_back.calls:
            return reason
    return None


def _context(line: Line) -> dict[str, Any]:
    return known_of(line.facts)
