"""The switchboard on virtual lines: who is taken, by which flow, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.health import Readiness
from engine.line import LineError
from engine.record import CallRecord
from engine.services import Services
from engine.switchboard import REFUSE_WITHIN, Switchboard
from engine.virtual import FACTS, VirtualLine, virtual_services, virtual_time
from flows.library import Library
from tests.engine.verbs.phone import RESOURCES, flow, library

ROUTES = """
routes:
  - {match: {did: "+14155550100"}, flow: bella, fallback: "pjsip:counter"}
  - {match: {trunk: carrier-b}, flow: clinic}
  - {match: {did: "+1999", attestation: A}, flow: clinic}
  - {match: {header: {x-plan: gold}, calendar: {office: open}}, flow: gold}
"""
SPEAKS = "- say: {text: NAME speaks., loop: 3}"


def house(folder: Path, suffix: str = "") -> Library:
    flows = [flow(SPEAKS.replace("NAME", name + suffix), name=name) for name in ("bella", "clinic", "gold")]
    return library(folder, *flows, files={"routes.yaml": ROUTES, "resources.yaml": RESOURCES})


class Incoming:
    """Satisfies `engine.switchboard.Exchange`: calls come when the test says so."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.count = 0

    async def lines(self) -> AsyncIterator[Any]:
        while (line := await self.queue.get()) is not None:
            yield line

    def call(self, line: VirtualLine | None = None, **facts: Any) -> VirtualLine:
        self.count += 1
        line = line or VirtualLine()
        line.facts = replace(line.facts, id=f"call-{self.count}", **facts)
        self.queue.put_nowait(line)
        return line


class House:
    def __init__(self, flows: Library, capacity: int) -> None:
        self.incoming = Incoming()
        self.services: Services = virtual_services()
        self.readiness = Readiness(capacity=capacity)
        self.board = Switchboard(flows, self.services, self.readiness)

    def record(self, line: VirtualLine) -> CallRecord:
        kept: Any = self.services.records
        record: CallRecord = kept.records[line.facts.id]
        return record

    def refused(self, reason: str) -> float:
        return self.services.metrics.registry.get_sample_value(
            "hookflash_calls_refused_total", {"reason": reason}
        ) or 0.0  # fmt: skip


@asynccontextmanager
async def open_house(flows: Library, capacity: int = 10) -> AsyncIterator[House]:
    """A switchboard that runs; at the end no more calls come, and all must have ended by themselves."""
    made = House(flows, capacity)
    with capture_logs():
        async with asyncio.TaskGroup() as group:
            group.create_task(made.board.run(made.incoming), name="switchboard")
            yield made
            made.incoming.queue.put_nowait(None)
    assert made.board.calls == {}
    assert made.readiness.active == 0


# ── Routes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("facts", "flow_name"),
    [
        ({}, "bella"),
        ({"did": "+1999", "trunk": "carrier-b"}, "clinic"),
        ({"did": "+1999", "headers": {"X-Plan": "gold"}}, "gold"),
        ({"did": "+1999", "headers": {"X-Plan": "gold", "P-Attestation-Indicator": "A"}}, "clinic"),
    ],
)
@virtual_time
async def test_a_call_gets_the_flow_of_its_route(tmp_path: Path, facts: Any, flow_name: str) -> None:
    async with open_house(house(tmp_path)) as made:
        line = made.incoming.call(**facts)
        await line.caller.hears(flow_name)
        assert made.readiness.active == 1
        registry = made.services.metrics.registry
        assert registry.get_sample_value("hookflash_calls_active", {"flow": flow_name}) == 1
    assert line.left_over == []
    assert (made.record(line).flow, made.record(line).outcome) == (flow_name, "completed")
    counted = {"flow": flow_name, "outcome": "completed"}
    assert registry.get_sample_value("hookflash_calls_ended_total", counted) == 1
    assert registry.get_sample_value("hookflash_calls_active", {"flow": flow_name}) == 0
    assert registry.get_sample_value("hookflash_call_duration_seconds_sum") == pytest.approx(line.log.now, abs=0.1)


@virtual_time
async def test_the_fallback_of_the_route_is_rung_when_the_flow_fails(tmp_path: Path) -> None:
    flows = library(
        tmp_path, flow("- id: bad\n  say: '${steps.bad.outcome.size() + 1}'", name="bella"),
        files={"routes.yaml": "routes:\n  - {match: {}, flow: bella, fallback: 'pjsip:counter'}\n"},
    )  # fmt: skip
    async with open_house(flows) as made:
        line = made.incoming.call(VirtualLine(targets={"pjsip:counter": {"answer": 2, "hangs_up_after": 3}}))
    assert [entry.who for entry in line.log.find("connected")] == ["pjsip:counter"]


# ── Calls that are not taken ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fallback", [True, False])
@virtual_time
async def test_an_unknown_number_goes_back_to_the_dialplan(tmp_path: Path, fallback: bool) -> None:
    async with open_house(house(tmp_path)) as made:
        line = made.incoming.call(VirtualLine(fallback=fallback), did="+1999")
    assert line.left_over == []
    record = made.record(line)
    assert (record.outcome, record.error, record.hangup_by, record.did) == ("refused", "no_route", "engine", "+1999")
    assert record.ended == record.started
    assert record.caller == FACTS.caller
    assert [entry.what for entry in line.log] == (["given_back"] if fallback else ["hung_up"])
    assert line.ended.result().cause == (16 if fallback else 42)
    assert made.refused("no_route") == 1
    assert not line.is_answered


@virtual_time
async def test_one_call_too_many_is_refused_even_in_a_burst(tmp_path: Path) -> None:
    async with open_house(house(tmp_path), capacity=3) as made:
        lines = [made.incoming.call(VirtualLine(fallback=True)) for _ in range(8)]
        await lines[0].caller.hears("bella")
        assert made.readiness.active == 3
        late = made.incoming.call(VirtualLine(fallback=True))
        await late.log.until("given_back")
    taken = [line for line in lines if line.is_answered]
    assert taken == lines[:3]
    assert [made.record(line).error for line in [*lines[3:], late]] == ["capacity"] * 6
    assert all(line.log.heard() == ["bella speaks."] * 3 for line in taken)  # live calls notice nothing
    assert made.refused("capacity") == 6


@virtual_time
async def test_room_that_becomes_free_is_used(tmp_path: Path) -> None:
    async with open_house(house(tmp_path), capacity=1) as made:
        first = made.incoming.call()
        await first.log.until("hung_up")
        await asyncio.sleep(0.1)
        second = made.incoming.call()
        await second.log.until("hung_up")
    assert made.record(second).outcome == "completed"


@virtual_time
async def test_draining_takes_no_call_and_waits_for_the_live_ones(tmp_path: Path) -> None:
    async with open_house(house(tmp_path)) as made:
        live = made.incoming.call()
        await live.caller.hears("bella")
        draining = asyncio.create_task(made.board.drain(60))
        await asyncio.sleep(0.1)
        late = made.incoming.call(VirtualLine(fallback=True))
        assert await draining == 0
        assert live.log.heard() == ["bella speaks."] * 3
        assert made.readiness.draining
    assert made.record(late).error == "draining"
    assert made.refused("draining") == 1


@virtual_time
async def test_a_drain_has_its_end(tmp_path: Path) -> None:
    async with open_house(house(tmp_path)) as made:
        line = made.incoming.call()
        await line.log.until("answered")
        assert await made.board.drain(0.5) == 1
        assert await made.board.drain(60) == 0


@virtual_time
async def test_nothing_to_drain(tmp_path: Path) -> None:
    async with open_house(house(tmp_path)) as made:
        assert await made.board.drain(60) == 0
        assert asyncio.get_running_loop().time() == 0


# ── What goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "faults",
    [
        {"give_back": LineError("no")}, {"give_back": 60.0}, {"hangup": LineError("no")}, {"close": LineError("no")},
        {"give_back": KeyError("x"), "close": KeyError("y")}, {"close": 60.0},
    ],
)  # fmt: skip
@virtual_time
async def test_a_call_that_can_be_neither_taken_nor_given_back_disturbs_no_other(tmp_path: Path, faults: Any) -> None:
    async with open_house(house(tmp_path)) as made:
        live = made.incoming.call()
        await live.log.until("answered")
        made.incoming.call(VirtualLine(faults=faults), did="+1999")
        await live.log.until("hung_up")
    assert live.log.heard() == ["bella speaks."] * 3
    assert made.record(live).outcome == "completed"
    assert live.log.now <= max(3 * 0.84, 2 * REFUSE_WITHIN) + 0.1


class Full:
    """Satisfies `engine.services.Keeper`, and keeps nothing of one call."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.records: dict[str, CallRecord] = {}

    async def save(self, record: CallRecord) -> None:
        if record.id == self.id:
            raise OSError("no space left on device")
        self.records[record.id] = record


@pytest.mark.parametrize("did", [FACTS.did, "+1999"])
@virtual_time
async def test_a_record_that_cannot_be_kept_disturbs_no_other(tmp_path: Path, did: str) -> None:
    async with open_house(house(tmp_path)) as made:
        made.services.records = Full("call-2")
        live = made.incoming.call()
        await live.log.until("answered")
        lost = made.incoming.call(VirtualLine(fallback=True), did=did)
        await live.log.until("hung_up")
    assert lost.left_over == []
    assert [entry.what for entry in lost.log] == ["given_back"]
    assert made.record(live).outcome == "completed"


@virtual_time
async def test_a_route_that_cannot_be_told_gives_the_call_back(tmp_path: Path) -> None:
    flows = house(tmp_path)
    async with open_house(flows) as made:
        live = made.incoming.call()
        await live.log.until("answered")
        made.board.library = replace(flows, resources=replace(flows.resources, calendars={}))  # a route names one
        lost = made.incoming.call(VirtualLine(fallback=True), did="+1999", headers={"X-Plan": "gold"})
        await live.log.until("hung_up")
    assert [entry.what for entry in lost.log] == ["given_back"]
    assert live.log.heard() == ["bella speaks."] * 3


@virtual_time
async def test_stopping_the_switchboard_cancels_its_calls_and_leaves_nothing(tmp_path: Path) -> None:
    made = House(house(tmp_path), 10)
    with capture_logs():
        running = asyncio.create_task(made.board.run(made.incoming))
        line = made.incoming.call()
        await line.log.until("answered")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert line.left_over == []
    assert made.record(line).outcome == "lost"
    assert made.board.calls == {}


# ── A new library ─────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_live_calls_keep_their_flows_and_new_ones_take_the_newest(tmp_path: Path) -> None:
    old, new = house(tmp_path / "old"), house(tmp_path / "new", " two")
    async with open_house(old) as made:
        first = made.incoming.call()
        await first.caller.hears("bella")
        made.board.library = new
        second = made.incoming.call()
        await second.caller.hears("bella two")
    assert first.log.heard() == ["bella speaks."] * 3
    assert second.log.heard() == ["bella two speaks."] * 3
    assert made.record(first).revision == old.flows["bella"].revision
    assert made.record(second).revision == new.flows["bella"].revision
    assert made.record(first).revision != made.record(second).revision


@virtual_time
async def test_thirty_calls_at_once(tmp_path: Path) -> None:
    async with open_house(house(tmp_path), capacity=30) as made:
        lines = [made.incoming.call() for _ in range(30)]
        await lines[-1].log.until("answered")
        assert made.readiness.active == 30
    assert all(line.log.heard() == ["bella speaks."] * 3 for line in lines)
