"""Small verbs and flows made by hand, for tests of the engine's core under the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

from structlog.testing import capture_logs

from engine.call import Call
from engine.outcome import DONE, Outcome
from engine.record import CallRecord
from engine.services import Services
from engine.verb import Verb
from engine.virtual import VirtualLine, VirtualProvider, virtual_services
from flows.flow import Flow, Handler, HandlerEvent, Retry, Step, Variable
from flows.library import Library
from flows.problems import Where
from flows.texts import Condition
from flows.verb import Fields, Outcomes

Act = Callable[[Step, Call], Awaitable[Outcome | None]]
_lines = count(1)


class Does(Verb):
    """A verb that does what the test says."""

    name: ClassVar[str] = "does"
    summary: ClassVar[str] = "A test's own verb."
    Fields: ClassVar[type[Fields]] = Fields

    def __init__(self, act: Act, name: str = "does", **traits: Any) -> None:
        self.act = act
        self.__dict__.update({"name": name, **traits})

    async def run(self, step: Step, call: Call) -> Outcome:
        return await self.act(step, call) or DONE


def step(
    act: Act | None = None, *, name: str = "does", good: Sequence[str] = (), bad: Sequence[str] = (),
    any_bad: str | None = None, id: str | None = None, outcomes: Mapping[str, Sequence[Step]] | None = None,
    when: str | None = None, timeout: float | None = None, retry: Retry | None = None,
    catch: Sequence[Step] | None = None, disabled: bool = False, **traits: Any,
) -> Step:  # fmt: skip
    """A step; without an act it does nothing."""
    ways = Outcomes(tuple(good), tuple(bad), any_bad)
    line = next(_lines)
    return Step(
        id=id, path=f"steps/{line}", verb=Does(act or nothing, name, ways_to_end=ways, **traits), fields=Fields(),
        possible=ways, outcomes={key: tuple(steps) for key, steps in (outcomes or {}).items()},
        when=None if when is None else Condition(when), save={}, timeout=timeout, retry=retry,
        catch=None if catch is None else tuple(catch), disabled=disabled, nested=(),
        where=Where("t.flow.yaml", line, 1),
    )  # fmt: skip


def handler(event: HandlerEvent, *steps: Step, goto: str | None = None, digits: str | None = None) -> Handler:
    return Handler(event, digits, steps or None, goto, Where("t.flow.yaml", 1, 1))


def flow(
    *steps: Step, sections: Mapping[str, Sequence[Step]] | None = None, handlers: Sequence[Handler] = (),
    max_call: float | None = None, vars: Mapping[str, Variable] | None = None, name: str = "test",
) -> Flow:  # fmt: skip
    return Flow(
        name=name, version=1, revision="r1", file="t.flow.yaml", vars=vars or {}, input={}, defaults={},
        max_call=max_call, handlers=tuple(handlers), steps=steps,
        sections={key: tuple(value) for key, value in (sections or {}).items()}, recover=None,
    )  # fmt: skip


# ── Acts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def nothing(step: Step, call: Call) -> None:
    """Done at once."""


async def forever(step: Step, call: Call) -> None:
    """A step that only something else can end."""
    await asyncio.Event().wait()


def waits(seconds: float) -> Act:
    async def act(step: Step, call: Call) -> None:
        await asyncio.sleep(seconds)

    return act


def ends(name: str, **data: Any) -> Act:
    async def act(step: Step, call: Call) -> Outcome:
        return Outcome(name, data)

    return act


def raises(error: BaseException) -> Act:
    async def act(step: Step, call: Call) -> None:
        raise error

    return act


def speaks(text: str) -> Act:
    """Say a prompt to its end."""

    async def act(step: Step, call: Call) -> None:
        playout = await call.playout()
        await playout.play(await call.services.speech.audio(text, playout.law))

    return act


@dataclass
class Trail:
    """Notes which steps ran, in order."""

    names: list[str] = field(default_factory=list)

    def __call__(self, name: str, then: Act | None = None) -> Act:
        async def act(step: Step, call: Call) -> Outcome | None:
            self.names.append(name)
            return await then(step, call) if then is not None else None

        return act

    def __str__(self) -> str:
        return " ".join(self.names)


# ── Running ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_call(
    flow: Flow, line: VirtualLine | None = None, services: Services | None = None, others: Sequence[Flow] = ()
) -> Call:
    library = Library({item.name: item for item in (flow, *others)})
    return Call(line or VirtualLine(), flow, library, services or virtual_services(VirtualProvider()))


async def run_call(
    flow: Flow, line: VirtualLine | None = None, script: Callable[[VirtualLine], Awaitable[None]] | None = None,
    services: Services | None = None, others: Sequence[Flow] = (),
) -> CallRecord:  # fmt: skip
    """Run a call to its end beside the caller's script, and check what must be true of every call."""
    line = line or VirtualLine()
    call = make_call(flow, line, services, others)
    record = await beside_script(call, None if script is None else lambda: script(line))
    assert line.left_over == []
    assert record.ended is not None
    assert record.hangup_by
    assert record.outcome != "live"
    assert all(step.outcome is not None and step.ms is not None for step in record.steps)
    return record


async def beside_script(call: Call, script: Callable[[], Awaitable[None]] | None) -> CallRecord:
    """Run a call to its end while the script runs; what the engine logs is not printed."""
    with capture_logs():
        async with asyncio.TaskGroup() as group:
            running = group.create_task(call.run(), name="call")
            if script is not None:
                await script()
    return running.result()
