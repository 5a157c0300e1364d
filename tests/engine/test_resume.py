"""Calls whose engine died go on under the next one: what they still know, where they go on, and how they end."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from engine.checkpoint import Checkpoint, Left
from engine.console.places import Places
from engine.console.views import summary
from engine.health import Readiness
from engine.line import DialOptions
from engine.record import CallRecord
from engine.records.database import RecordsError
from engine.records.left import DIED
from engine.records.timeline import render
from engine.resume import CUT_OFF, RESTARTED
from engine.services import Clock
from engine.switchboard import Switchboard
from engine.virtual import FACTS, VirtualLine, virtual_services, virtual_time
from flows.library import Library
from tests.engine.test_switchboard import Incoming
from tests.engine.verbs.phone import library

FLOW = """
flow: shop
recover: again
vars:
  name: {type: string, default: nobody}
  count: {type: integer}
  pin: {type: string, sensitive: true, default: "none"}
  copy: {type: string}
  since: {type: timestamp}
steps:
  - set: {name: Ada, count: 3, pin: "1234", since: "${now}"}
  - set: {copy: "${vars.pin}"}
  - id: order
    say: {text: What may it be?, loop: 100}
  - hangup: {result: done}
sections:
  again:
    - say: Sorry ${vars.name}, ${string(vars.count)}, ${vars.pin}, ${vars.copy}.
    - hangup: {result: resumed}
handlers:
  - {event: hangup, steps: [{set: {count: 99}}]}
"""
TYPES = """
flow: shop
recover: again
vars:
  word: {type: string}
  whole: {type: integer}
  part: {type: number}
  yes_: {type: boolean}
  thing: {type: object}
  things: {type: array}
  since: {type: timestamp}
  any_: {type: any, default: 1}
steps:
  - set:
      word: é
      whole: 7
      part: 1.5
      yes_: true
      thing: {k: [1]}
      things: [1, two]
      since: "${timestamp('2026-01-02T03:04:05Z')}"
      any_: null
  - say: {text: What may it be?, loop: 100}
sections:
  again:
    - when: vars.yes_ && vars.any_ == null && vars.things[1] == 'two'
      say: "${string(vars.since)} ${vars.word} ${string(vars.thing.k[0] + vars.whole)} ${string(vars.part)}"
    - hangup: {}
"""
EARLY = """
flow: shop
recover: again
steps: [{ringing: {}}, {wait: 60s}]
sections:
  again: [{say: Hello again.}, {hangup: {}}]
"""
PERSON = """
flow: shop
recover: again
steps:
  - transfer: {attempts: [{targets: ["pjsip:desk"]}], after_callee_hangup: continue}
    outcomes: {failed: []}
  - say: {text: Still here?, loop: 20}
  - hangup: {}
sections:
  again: [{say: Sorry.}, {hangup: {}}]
"""


class Shelf:
    """Satisfies `engine.services.Keeper` and `engine.checkpoint.Checkpoints`, in memory, as JSON."""

    def __init__(self, left: dict[str, tuple[str, str]] | None = None) -> None:
        self.records: dict[str, CallRecord] = {}
        self.states: dict[str, Callable[[], Checkpoint]] = {}
        self.left = left or {}
        self.claimed = 0

    async def save(self, record: CallRecord) -> None:
        self.records[record.id] = record

    def follow(self, call_id: str, state: Callable[[], Checkpoint]) -> None:
        self.states[call_id] = state

    def forget(self, call_id: str) -> None:
        del self.states[call_id]

    async def claim(self, engine: str, channel: str) -> Left | None:
        self.claimed += 1
        if channel not in self.left:
            return None
        record, state = self.left[channel]
        told = json.loads(state)
        checkpoint = Checkpoint(**{**told, "at": datetime.fromisoformat(told["at"]), "resumed": told["resumed"] + 1})
        return Left(CallRecord.model_validate_json(record).model_copy(update={"error": DIED}), checkpoint)

    def died(self) -> Shelf:
        """What the next engine finds when this one dies now."""
        left = {}
        for call_id, state in self.states.items():
            now = state()
            left[now.channel] = (self.records[call_id].model_dump_json(), json.dumps(asdict(now), default=str))
        return Shelf(left)


class House:
    """An engine on virtual lines."""

    def __init__(self, flows: Library, shelf: Shelf, **changes: Any) -> None:
        self.shelf = shelf
        self.incoming = Incoming()
        self.services = virtual_services(records=shelf, checkpoints=shelf, **changes)
        self.readiness = Readiness(capacity=1)
        self.board = Switchboard(flows, self.services, self.readiness)

    def left_over(self, line: VirtualLine | None = None) -> VirtualLine:
        """A caller whom the dead engine had on its line; a dialplan's own facts are poorer than the record."""
        line = line or VirtualLine(fallback=True)
        line.facts = replace(FACTS, id="fresh", did="s", caller="", caller_name="", left_over=True)
        self.incoming.queue.put_nowait(line)
        return line

    def counted(self, way: str) -> float:
        labels = {"flow": "shop", "way": way}
        return self.services.metrics.registry.get_sample_value("hookflash_calls_resumed_total", labels) or 0.0

    @property
    def record(self) -> CallRecord:
        [record] = self.shelf.records.values()
        return record


@asynccontextmanager
async def engine(flows: Library, shelf: Shelf, **changes: Any) -> AsyncIterator[House]:
    """A switchboard that runs until no call is left."""
    made = House(flows, shelf, **changes)
    with capture_logs():
        async with asyncio.TaskGroup() as group:
            group.create_task(made.board.run(made.incoming), name="switchboard")
            yield made
            made.incoming.queue.put_nowait(None)
    assert made.board.calls == {}
    assert made.readiness.active == 0
    assert shelf.states == {}, "no call is followed after its end"


async def crash(
    flows: Library, until: Callable[[VirtualLine], Any], line: VirtualLine | None = None, shelf: Shelf | None = None,
) -> Shelf:  # fmt: skip
    """Run a call (a new one, or on a shelf the one left there) to where its engine dies; what the next one finds."""
    made = House(flows, shelf or Shelf())
    with capture_logs():
        running = asyncio.create_task(made.board.run(made.incoming))
        line = line or VirtualLine()
        line = made.left_over(line) if shelf is not None else made.incoming.call(line)
        await until(line)
        found = made.shelf.died()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert made.shelf.states == {}, "who ends in order leaves nothing behind"
    return found


async def hears_the_question(line: VirtualLine) -> None:
    await line.caller.hears("what may it be")


async def talks(line: VirtualLine) -> None:
    await line.log.until("connected", who="pjsip:desk")
    await asyncio.sleep(5)


async def connected_line(**target: Any) -> VirtualLine:
    """A caller who talks to the desk, as the dead engine left them."""
    line = VirtualLine(targets={"pjsip:desk": {"answer": 1, **target}})
    leg = await line.dial("pjsip:desk", DialOptions())
    await leg.answered()
    await line.connect(leg)
    line.peer, line.is_answered = leg, True
    return line


@virtual_time
async def test_a_call_goes_on_at_recover_with_what_it_knew(tmp_path: Path) -> None:
    flows = library(tmp_path, FLOW)
    left = await crash(flows, hears_the_question)
    assert "1234" not in str(left.left), "a secret is never kept, nor a copy of it"
    async with engine(flows, left) as made:
        line = VirtualLine()
        line.is_answered = True
        made.left_over(line)
        await line.caller.hears("Sorry Ada, 3, none, .")
        assert made.readiness.active == 1
        shown = summary(made.board.calls["call-1"], Places.of(flows))
        assert (shown.state, shown.step_path, shown.caller) == ("in_flow", "sections/again/0", FACTS.caller)
    record = made.record
    assert (record.id, record.did, record.caller) == ("call-1", FACTS.did, FACTS.caller)
    assert (record.outcome, record.result, record.hangup_by) == ("completed", "resumed", "flow")
    assert record.error == DIED
    assert [step.path for step in record.steps] == [
        "steps/0", "steps/1", "steps/2", "sections/again/0", "sections/again/1", "handlers/0/steps/0",
    ]  # fmt: skip
    order = record.steps[2]
    assert (order.outcome, order.detail) == ("cancelled", CUT_OFF)
    assert order.ms is not None
    told = io.StringIO()
    Console(file=told, width=200).print(render(record))
    assert f"order say → cancelled after {order.ms / 1000:.2f} s: {CUT_OFF}" in told.getvalue()
    said = [(one.role, one.text) for one in record.transcript]
    assert ("voice", "What may it be?") in said
    assert ("system", f"{RESTARTED}the call goes on at section again") in said
    assert len([leg for leg in record.legs if leg.kind == "caller"]) == 1
    assert made.counted("recover") == 1
    assert record.id in made.board.over


@virtual_time
async def test_variables_of_every_type_come_back(tmp_path: Path) -> None:
    flows = library(tmp_path, TYPES)
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears("2026-01-02T03:04:05Z é 8 1.5")
    assert made.record.outcome == "completed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("count: {type: integer}", "count: {type: integer}\n  new: {type: string}"), "Ada, 3"),
        (("count: {type: integer}", "count: {type: string, default: '0'}"), "Ada, 0"),
        (("default: nobody}", "default: you, sensitive: true}"), "you, 3"),
    ],
)  # fmt: skip
@virtual_time
async def test_another_revision_takes_what_it_still_declares(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    left = await crash(library(tmp_path / "old", FLOW), hears_the_question)
    newer = FLOW.replace(*change)
    if "'0'" in newer:
        newer = newer.replace("count: 3", "count: '3'").replace("count: 99", "count: '99'")
    flows = library(tmp_path / "new", newer)
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears(f"Sorry {says}, none")
    assert made.record.revision == flows.flows["shop"].revision
    assert made.record.result == "resumed"


@virtual_time
async def test_a_call_of_a_next_version_stays_in_it(tmp_path: Path) -> None:
    newer = FLOW.replace("flow: shop", "flow: shop\nversion: 2").replace("Sorry", "Version two")
    routes = "routes: [{match: {}, flow: shop, version: {stable: 0, next: 100}}]\n"
    flows = library(tmp_path, FLOW, files={"2.next.flow.yaml": newer, "routes.yaml": routes})
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears("Version two Ada")
    assert made.record.revision == flows.next["shop"].revision


@pytest.mark.parametrize(
    "newer",
    [
        FLOW.replace("recover: again", ""),
        FLOW.replace("flow: shop", "flow: other"),
    ],
)
@virtual_time
async def test_without_recover_the_safety_destination_is_rung(tmp_path: Path, newer: str) -> None:
    left = await crash(library(tmp_path / "old", FLOW), hears_the_question)
    flows = library(tmp_path / "new", newer)
    async with engine(flows, left, safety_destination="pjsip:counter") as made:
        made.left_over(VirtualLine(targets={"pjsip:counter": {"answer": 2, "hangs_up_after": 3}}))
    record = made.record
    assert (record.flow, record.outcome, record.hangup_by) == ("shop", "handed_off", "target")
    assert [attempt.step for attempt in record.attempts] == ["safety"]
    assert made.counted("safety") == 1


@virtual_time
async def test_without_a_safety_destination_it_goes_back_to_the_dialplan(tmp_path: Path) -> None:
    flows = library(tmp_path, FLOW.replace("recover: again", ""))
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        line = made.left_over()
    assert [entry.what for entry in line.log] == ["given_back"]
    assert (made.record.outcome, made.record.result) == ("failed", "given back to the dialplan")


@virtual_time
async def test_the_fallback_of_its_route_counts_though_no_route_leads_there(tmp_path: Path) -> None:
    text = FLOW.replace("recover: again", "")
    routes = "routes: [{match: {}, flow: shop, fallback: 'pjsip:counter'}]\n"
    left = await crash(library(tmp_path / "old", text, files={"routes.yaml": routes}), hears_the_question)
    flows = library(tmp_path / "new", text, files={"routes.yaml": "routes: [{match: {did: '+1'}, flow: shop}]\n"})
    async with engine(flows, left) as made:
        made.left_over(VirtualLine(targets={"pjsip:counter": {"answer": 2, "hangs_up_after": 3}}))
    assert made.record.outcome == "handed_off"


@virtual_time
async def test_a_call_that_ends_engines_ends_itself(tmp_path: Path) -> None:
    flows = library(tmp_path, FLOW.replace("- say: Sorry", "- say: {text: Again, loop: 20}\n    - say: Sorry"))
    left = await crash(flows, hears_the_question)

    async def hears_again(line: VirtualLine) -> None:
        await line.caller.hears("again")

    for _ in range(2):
        left = await crash(flows, hears_again, shelf=left)
    async with engine(flows, left, safety_destination="pjsip:counter") as made:
        made.left_over(VirtualLine(targets={"pjsip:counter": {"answer": 2, "hangs_up_after": 3}}))
    assert made.counted("safety") == 1
    assert made.record.outcome == "handed_off"
    lines = [one.text for one in made.record.transcript if one.text.startswith(RESTARTED)]
    assert len(lines) == 3

    [(record, state)] = left.left.values()
    left.left["channel-1"] = record, state.replace('"resumed": 2', '"resumed": 3')
    async with engine(flows, Shelf(left.left), safety_destination="pjsip:counter") as made:
        line = made.left_over()
    assert [entry.what for entry in line.log] == ["given_back"]
    assert made.counted("dialplan") == 1


@virtual_time
async def test_an_unknown_caller_goes_back_to_the_dialplan(tmp_path: Path) -> None:
    async with engine(library(tmp_path, FLOW), Shelf()) as made:
        line = made.left_over()
    assert [entry.what for entry in line.log] == ["given_back"]
    assert made.shelf.records == {}, "nothing of this engine's happened"


@virtual_time
async def test_an_engine_that_drains_takes_nobody_back(tmp_path: Path) -> None:
    flows = library(tmp_path, FLOW)
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        made.readiness.draining = True
        line = made.left_over()
    assert [entry.what for entry in line.log] == ["given_back"]
    assert left.claimed == 0


class Slow(Shelf):
    """Its database does not answer before it is told to, and then in this way."""

    def __init__(self, left: dict[str, tuple[str, str]] | None = None, fails: Exception | None = None) -> None:
        super().__init__(left)
        self.asked, self.answers, self.fails = asyncio.Event(), asyncio.Event(), fails

    async def claim(self, engine: str, channel: str) -> Left | None:
        self.asked.set()
        await self.answers.wait()
        if self.fails is not None:
            raise self.fails
        return await super().claim(engine, channel)


@virtual_time
async def test_a_drain_waits_for_whom_the_database_has_not_told_of_yet(tmp_path: Path) -> None:
    flows = library(tmp_path, FLOW)
    shelf = Slow((await crash(flows, hears_the_question)).left)
    async with engine(flows, shelf) as made:
        line = made.left_over()
        await shelf.asked.wait()
        draining = asyncio.create_task(made.board.drain(60))
        await asyncio.sleep(1)
        assert not draining.done()
        assert made.readiness.active == 0, "it has no place yet"
        shelf.answers.set()
        await line.caller.hears("Sorry Ada")
        assert not draining.done()
        assert await draining == 0
    assert made.record.result == "resumed"


@virtual_time
async def test_a_drain_that_is_over_counts_them_as_live(tmp_path: Path) -> None:
    flows, shelf = library(tmp_path, FLOW), Slow()
    async with engine(flows, shelf) as made:
        made.left_over()
        await shelf.asked.wait()
        assert await made.board.drain(1) == 1
        shelf.answers.set()


@pytest.mark.parametrize("talking", [False, True])
@virtual_time
async def test_an_engine_that_is_stopped_hangs_up_nobody_whose_call_it_only_asks_for(
    tmp_path: Path, talking: bool
) -> None:
    made = House(library(tmp_path, PERSON), Slow())
    with capture_logs():
        running = asyncio.create_task(made.board.run(made.incoming))
        line = made.left_over(await connected_line() if talking else None)
        await made.shelf.asked.wait()  # type: ignore[attr-defined]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert line.log.find("let_be" if talking else "given_back")
    assert not line.log.find("hung_up")
    if talking:
        await line.close()


@virtual_time
async def test_giving_back_is_not_cut_off(tmp_path: Path) -> None:
    made = House(library(tmp_path, FLOW), Shelf())
    with capture_logs():
        running = asyncio.create_task(made.board.run(made.incoming))
        line = made.left_over(VirtualLine(fallback=True, faults={"give_back": 2.0}))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [entry.what for entry in line.log] == ["given_back"]


@pytest.mark.parametrize(
    ("shelf", "draining", "reason"),
    [
        (Shelf, False, "nobody knows it"),
        (Shelf, True, "this engine stops"),
        (Slow, False, "the database did not tell of it within 10 s"),
        (lambda: Slow(fails=RecordsError("cannot read it: gone")), False, "cannot read it: gone"),
    ],
)
@virtual_time
async def test_the_log_says_why_a_call_does_not_go_on(
    tmp_path: Path, shelf: Callable[[], Shelf], draining: bool, reason: str
) -> None:
    made = House(library(tmp_path, FLOW), shelf())
    made.readiness.draining = draining
    if isinstance(made.shelf, Slow) and made.shelf.fails is not None:
        made.shelf.answers.set()
    with capture_logs() as logs:
        running = asyncio.create_task(made.board.run(made.incoming))
        line = made.left_over()
        made.incoming.queue.put_nowait(None)
        await running
    [told] = [entry for entry in logs if entry["log_level"] in ("warning", "error")]
    assert (told["event"], told["reason"]) == ("the call of an engine that died does not go on here", reason)
    assert (told["then"], told["channel"]) == ("the dialplan takes the caller", FACTS.channel)
    assert [entry.what for entry in line.log] == ["given_back"]


@virtual_time
async def test_a_full_engine_takes_them_back_all_the_same(tmp_path: Path) -> None:
    flows = library(tmp_path, FLOW)
    left = await crash(flows, hears_the_question)
    async with engine(flows, left) as made:
        other = made.incoming.call(channel="another")
        made.incoming.count += 1
        await other.caller.hears("what may it be")
        line = made.left_over()
        record, state = made.shelf.left["channel-1"]
        made.shelf.left["channel-1"] = record.replace("call-1", "call-0"), state  # the other has its id here
        await line.caller.hears("Sorry Ada")
    assert made.shelf.records["call-0"].result == "resumed"


@virtual_time
async def test_a_call_that_was_not_answered_yet_goes_on_too(tmp_path: Path) -> None:
    flows = library(tmp_path, EARLY)
    left = await crash(flows, lambda line: line.log.until("rings"))
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears("hello again")
    assert made.record.answered is not None
    assert made.record.outcome == "completed"


@virtual_time
async def test_the_time_of_a_call_counts_on(tmp_path: Path) -> None:
    text = FLOW.replace("recover: again", "recover: again\ndefaults: {max_call: 60s}").replace(
        "    - say: Sorry", "    - wait: 300s\n    - say: Sorry"
    )
    flows = library(tmp_path, text)

    async def after_40_seconds(line: VirtualLine) -> None:
        await asyncio.sleep(40)

    left = await crash(flows, after_40_seconds)
    loop = asyncio.get_running_loop()
    async with engine(flows, left, clock=_clock_of(left)) as made:
        began = loop.time()
        line = made.left_over()
        await line.caller.hears("the time for this call is over")
    assert 15 < loop.time() - began < 30
    assert made.record.outcome == "failed"


def _clock_of(left: Shelf) -> Any:
    """The clock of the next engine goes on where that of the dead one stood."""
    [(_, state)] = left.left.values()
    return Clock(datetime.fromisoformat(json.loads(state)["at"]))


@virtual_time
async def test_what_it_cost_counts_on(tmp_path: Path) -> None:
    text = FLOW.replace("recover: again", "recover: again\nlimits: {cost: 0.5}").replace(
        "    - say: Sorry", "    - wait: 300s\n    - say: Sorry"
    )
    flows = library(tmp_path, text)
    left = await crash(flows, hears_the_question)
    [(channel, (record, state))] = left.left.items()
    dear = CallRecord.model_validate_json(record).model_copy(update={"cost": Decimal("0.6")})
    left.left[channel] = (dear.model_dump_json(), state)
    async with engine(flows, left) as made:
        line = made.left_over()
        await line.caller.hears("the time for this call is over")
    assert line.log.now < 10
    assert made.record.outcome == "failed"


# ── Two who talk ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", ["target", "caller"])
@virtual_time
async def test_two_who_talk_talk_on_and_the_call_ends_with_them(tmp_path: Path, who: str) -> None:
    flows = library(tmp_path, PERSON)
    left = await crash(flows, talks, VirtualLine(targets={"pjsip:desk": {"answer": 1}}))
    async with engine(flows, left) as made:
        line = made.left_over(await connected_line(**({"hangs_up_after": 20} if who == "target" else {})))
        await asyncio.sleep(10)
        shown = summary(made.board.calls["call-1"], Places.of(flows))
        assert (shown.state, shown.target, shown.verb) == ("with_person", "pjsip:desk", "transfer")
        assert made.board.calls["call-1"].steering.obstacles() == ["the caller talks to pjsip:desk already"]
        assert not line.ended.done()
        if who == "caller":
            await line.caller.hangs_up()
    record = made.record
    assert (record.outcome, record.hangup_by) == ("handed_off", who)
    assert [(step.verb, step.outcome) for step in record.steps] == [("transfer", "connected")]
    assert line.left_over == []
    assert made.counted("talk") == 1
    assert all(leg.ended is not None for leg in record.legs if leg.kind == "caller")


@virtual_time
async def test_who_was_left_by_their_person_meanwhile_has_ended(tmp_path: Path) -> None:
    flows = library(tmp_path, PERSON)
    left = await crash(flows, talks, VirtualLine(targets={"pjsip:desk": {"answer": 1}}))
    async with engine(flows, left) as made:
        line = made.left_over()
    record = made.record
    assert (record.outcome, record.hangup_by) == ("handed_off", "target")
    assert [entry.what for entry in line.log] == ["hung_up"]
    assert record.steps[0].outcome == "connected"
    assert made.counted("ended") == 1


@virtual_time
async def test_two_whom_nobody_knows_are_left_alone(tmp_path: Path) -> None:
    async with engine(library(tmp_path, PERSON), Shelf()) as made:
        line = made.left_over(await connected_line())
        await line.log.until("let_be")
    assert not line.ended.done()
    assert made.shelf.records == {}
    await line.close()
