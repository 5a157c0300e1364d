"""Whether what a test expects happens. Order counts within a kind: what was met, and what came before it, is past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from engine.record import CallRecord, StepTrace
from engine.scenario.fields import ElapsedFields, ExpectFields, HttpExpected, NeverFields, WordsFields, contains
from engine.scenario.names import target_of
from engine.scenario.trace import Trace, short
from flows.json_schema import plain
from flows.problems import Where

_REACHED: Final = ("answered", "connected")


@dataclass(frozen=True, slots=True)
class Failure:
    """What was expected, at its place in the test, and what came instead; ``key`` is the trace's row of it, if any."""

    where: Where
    expected: str
    actual: str
    key: tuple[str, int] | None = None


class Unmet(Exception):  # noqa: N818 - not an error of ours
    """A test does not hold."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.where}: expected {failure.expected}; {failure.actual}")
        self.failure = failure


@dataclass(slots=True)
class Expectations:
    """What was met so far. ``over`` ends when the call does; ``news`` is set whenever something happens."""

    trace: Trace
    over: asyncio.Task[CallRecord]
    news: asyncio.Event
    met: dict[tuple[str, int], str] = field(default_factory=dict)  # row of the trace -> what was expected
    _past: dict[str, int] = field(default_factory=dict)  # kind -> index from which on things count

    async def meet(self, expected: ExpectFields) -> None:
        """Wait until it happens. Raises `Unmet`."""
        words = describe(expected)
        looks: dict[str, Callable[[ExpectFields], tuple[str, int] | None]] = {
            "step": self._step, "says": self._says, "http": self._http, "transfer": self._transfer,
            "hangup": self._hangup, "vars": self._vars,
        }  # fmt: skip
        kind = next(kind for kind in looks if getattr(expected, kind) is not None)
        try:
            async with asyncio.timeout(expected.within):
                key = await self._until(expected, looks[kind])
        except TimeoutError:
            raise Unmet(Failure(expected.where, words, f"not within {expected.within:g} s{self._now()}")) from None
        self.met[key] = words
        self._past[key[0]] = key[1] + 1
        if key[0] == "step":  # of a step that was expected to begin, the end may be expected, too
            ended = expected.outcome is not None or expected.elapsed is not None
            self._past["end of step"] = key[1] + ended

    async def anywhere(self, expected: ExpectFields) -> None:
        """It happened at any time of a call that is over; of a step or a target, in any attempt. Raises `Unmet`."""
        first: Unmet | None = None
        while True:
            try:
                return await self.meet(expected)
            except Unmet as unmet:
                first = first or unmet
                kind, index = unmet.failure.key or ("", 0)
                past = {"step": "end of step", "line": "rung"}.get(kind)
                if past is None:
                    raise first from None
                self._past[past] = index + 1

    async def _until(
        self, expected: ExpectFields, look: Callable[[ExpectFields], tuple[str, int] | None]
    ) -> tuple[str, int]:
        while True:
            is_over = self.over.done()
            if (key := look(expected)) is not None:
                return key
            if is_over:
                raise Unmet(Failure(expected.where, describe(expected), self._never(expected)))
            self.news.clear()
            await self.news.wait()

    # ── One kind each: the row that meets it, None while it may still come; raises `Unmet` when it came otherwise ─────

    def _step(self, expected: ExpectFields) -> tuple[str, int] | None:
        if expected.outcome is None and expected.elapsed is None:
            names = ((index, (step.id, step.verb)) for index, step in self._ahead("step", self.trace.steps))
            return next((("step", index) for index, both in names if expected.step in both), None)
        for index, step in self._ahead("end of step", self.trace.steps):
            if expected.step not in (step.id, step.verb):
                continue
            outcome = self.trace.outcome(step)
            if outcome is None:
                return None
            if expected.outcome not in (None, outcome):
                self._fail(expected, f"{_called(step)} ended with {outcome}{_why(step)}", ("step", index))
            self._check_elapsed(expected, self.trace.seconds(step), f"{_called(step)} took", ("step", index))
            return "step", index
        return None

    def _says(self, expected: ExpectFields) -> tuple[str, int] | None:
        assert expected.says is not None
        past = self._past.get("line", 0)
        for index, entry in self.trace.heard:
            if index >= past and expected.says.fit(entry.text):
                return "line", index
        return None

    def _http(self, expected: ExpectFields) -> tuple[str, int] | None:
        assert expected.http is not None
        for index, request in self._ahead("http", self.trace.http.requests):
            if _asked(expected.http, request):
                return "http", index
        return None

    def _transfer(self, expected: ExpectFields) -> tuple[str, int] | None:
        wanted = expected.transfer
        assert wanted is not None
        target = target_of(wanted.target, self.trace.call.library)
        past = self._past.get("rung", 0)
        for index, who, status in self.trace.dialled():
            if index < past or who != target:
                continue
            if wanted.status is None or status == wanted.status or (wanted.status, status) == _REACHED:
                self.met[("line", index)] = describe(expected)
                return "rung", index
            if status is None or (status, wanted.status) == _REACHED:
                return None
            self._fail(expected, f"{who}: {status}", ("line", index))
        return None

    def _hangup(self, expected: ExpectFields) -> tuple[str, int] | None:
        wanted, record = expected.hangup, self.trace.call.record
        assert wanted is not None
        if not self.over.done() or record.ended is None:
            return None
        row = ("end", 0)
        for name, actual in (("by", record.hangup_by), ("result", record.result), ("outcome", record.outcome)):
            if getattr(wanted, name) not in (None, actual):
                error = f" ({record.error})" if record.error else ""
                self._fail(expected, f"the call ended with {name}: {actual or 'none'}{error}", row)
        self._check_elapsed(expected, (record.ended - record.started).total_seconds(), "the call took", row)
        return row

    def _vars(self, expected: ExpectFields) -> tuple[str, int] | None:
        assert expected.vars is not None
        return ("vars", 0) if contains(plain(self.trace.call.walker.vars), plain(expected.vars)) else None

    # ── Helpers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ahead(self, kind: str, things: list[Any]) -> list[tuple[int, Any]]:
        past = self._past.get(kind, 0)
        return list(enumerate(things))[past:]

    def _check_elapsed(self, expected: ExpectFields, seconds: float, words: str, key: tuple[str, int]) -> None:
        limits = expected.elapsed or ElapsedFields()
        if not limits.min <= seconds <= limits.max:
            self._fail(expected, f"{words} {seconds:.1f} s", key)

    @staticmethod
    def _fail(expected: ExpectFields, actual: str, key: tuple[str, int]) -> None:
        raise Unmet(Failure(expected.where, describe(expected), actual, key))

    def _never(self, expected: ExpectFields) -> str:
        if expected.vars is not None:
            actual = {name: self.trace.call.walker.vars.get(name) for name in expected.vars}
            return f"the call ended with {_plainly(plain(actual))}"
        record = self.trace.call.record
        ended = 0.0 if record.ended is None else (record.ended - record.started).total_seconds()
        error = f" ({record.error})" if record.error else ""
        return f"the call was over after {ended:.1f} s, hung up by {record.hangup_by}{error}"

    def _now(self) -> str:
        running = [_called(step) for step in self.trace.steps if step.outcome is None]
        return f"; running: {', '.join(running)}" if running else ""


def violated(never: NeverFields, trace: Trace) -> tuple[str, tuple[str, int] | None] | None:
    """What happened though it never may, in words, with its row of the trace; None when it did not."""
    for index, step in enumerate(trace.steps):
        if (
            never.step is not None
            and never.step in (step.id, step.verb)
            and never.outcome in (None, trace.outcome(step))
        ):
            return f"{_called(step)} ran and ended with {trace.outcome(step)}", ("step", index)
    for index, entry in trace.heard if never.says is not None else ():
        if never.says is not None and never.says.fit(entry.text):
            return f'the caller was told "{entry.text}"', ("line", index)
    for index, request in enumerate(trace.http.requests):
        if never.http is not None and _asked(never.http, request):
            return f"{request.method} {request.endpoint} {request.path}", ("http", index)
    if (wanted := never.transfer) is not None:
        target = target_of(wanted.target, trace.call.library)
        for index, who, status in trace.dialled():
            if who == target and (wanted.status in (None, status) or (wanted.status, status) == _REACHED):
                return f"{who} was rung: {status or 'it rings'}", ("line", index)
    by = trace.call.record.hangup_by
    return (f"hung up by {by}", ("end", 0)) if never.hangup_by is not None and never.hangup_by == by else None


def describe(expected: ExpectFields | NeverFields) -> str:
    """An expectation in one line, for reports."""
    given = expected.model_dump(exclude_unset=True, by_alias=True)
    given.pop("within", None)
    return ", ".join(f"{key}: {_plainly(value)}" for key, value in given.items())


def _plainly(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plainly(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plainly(item) for item in value) + "]"
    return f"{value:g} s" if isinstance(value, float) else str(value)


def _asked(wanted: HttpExpected, request: Any) -> bool:
    fits = wanted.fits(request.endpoint, request.method, request.path)
    return fits and (wanted.json_ is None or contains(request.body, plain(wanted.json_)))


def _called(step: StepTrace) -> str:
    return f"{step.id or step.verb} ({short(step.where)})"


def _why(step: StepTrace) -> str:
    return f": {step.detail}" if step.detail and step.outcome not in ("done", None) else ""


__all__ = ["Expectations", "Failure", "Unmet", "WordsFields", "describe", "violated"]
