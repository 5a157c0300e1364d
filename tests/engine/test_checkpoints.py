"""Checkpoints of live calls, in the databases of the records."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text
from structlog.testing import capture_logs

from engine.call import Call
from engine.checkpoint import Checkpoint, state_of
from engine.records import Records
from engine.records.database import connect
from engine.records.left import DIED, KEPT, counting
from engine.records.tables import calls, checkpoints, rows
from engine.resume import kept as resumed_vars
from engine.services import Clock
from engine.virtual import VirtualLine, virtual_services
from flows.flow import Variable
from tests.engine.sample_record import full_record
from tests.engine.support import beside_script, flow
from tests.engine.verbs.phone import library


def at(channel: str = "1700000000.1", **more: Any) -> Callable[[], Checkpoint]:
    return lambda: Checkpoint(**{"channel": channel, "at": datetime.now(UTC), **more})


async def kept(url: str) -> dict[str, dict[str, Any]]:
    """What stands in the table, by call."""
    engine = connect(url)
    async with engine.connect() as connection:
        found = (await connection.execute(select(checkpoints))).mappings().all()
    await engine.dispose()
    return {row["call_id"]: dict(row) for row in found}


async def test_a_checkpoint_comes_with_the_record_and_goes_when_the_call_ends(url: str) -> None:
    vars: dict[str, Any] = {"name": "Ada"}
    record = full_record("a", outcome="live", engine="one")
    async with Records.open(url, engine="one") as records:
        records.follow("a", at(vars=vars, account="acme"))
        await records.save(record)
        await records.flush()
        assert (await kept(url))["a"]["vars"] == {"name": "Ada"}
        vars["name"] = "Eve\0"
        await records.save(record)
        await records.flush()
        row = (await kept(url))["a"]
        assert (row["channel"], row["account"], row["with_person"], row["resumed"]) == (
            "1700000000.1",
            "acme",
            False,
            0,
        )
        assert row["vars"] == {"name": "Eve\ufffd"}
        record.outcome = "completed"
        await records.save(record)
        await records.flush()
        assert await kept(url) == {}
        records.forget("a")


async def test_saves_of_one_call_cost_one_checkpoint(url: str) -> None:
    asked: list[None] = []

    def state() -> Checkpoint:
        asked.append(None)
        return at()()

    async with Records.open(url) as records:
        records.follow("a", state)
        record = full_record("a", outcome="live")
        for _ in range(100):
            await records.save(record)
        await records.flush()
    assert len(asked) == 1


async def test_a_call_that_changes_all_the_time_is_not_put_off(url: str) -> None:
    async with Records.open(url) as records:
        for name in ("a", "b", "c", "a"):
            await records.save(full_record(name, outcome="live"))
        assert list(records._pending) == ["a", "b", "c"]


async def test_a_state_that_cannot_be_told_costs_no_record(url: str) -> None:
    """A mistake, perhaps a plugin's: the call is stored without a checkpoint, and all others as ever."""

    def broken() -> Checkpoint:
        raise KeyError("not declared")

    async with Records.open(url, engine="one") as records:
        records.follow("bad", broken)
        records.follow("good", at())
        for _ in range(2):
            for name in ("bad", "good", "plain"):
                await records.save(full_record(name, outcome="live"))
            with capture_logs() as logs:
                await records.flush()
            assert [(entry["log_level"], entry["call_id"]) for entry in logs] == [("error", "bad")]
        assert list(await kept(url)) == ["good"]
        assert {record.id for record in await records.list()} == {"bad", "good", "plain"}


async def test_what_the_flow_does_not_declare_is_not_kept(tmp_path: Path) -> None:
    """A plugin may put any name among the variables."""
    flows = library(tmp_path, FLOW)
    call = Call(VirtualLine(), flows.flows["shop"], flows, virtual_services(clock=Clock()))
    call.root.vars.update(name="Ada", own=1)
    assert state_of(call).vars == {"name": "Ada", "masked": ""}


async def test_the_next_engine_of_the_name_finds_the_call_and_counts(url: str) -> None:
    record = full_record("a", outcome="live", error="", engine="one")
    async with Records.open(url, engine="one") as records:
        records.follow("a", at(vars={"count": 3}, with_person=True, fallback="pjsip:desk"))
        await records.save(record)
        await records.save(full_record("b", outcome="live", engine="two"))
    async with Records.open(url, engine="one") as records:
        assert (await records.get("a")).outcome == "lost", "until its caller is found"
        assert await records.claim("one", "1700000000.2") is None
        assert await records.claim("two", "1700000000.1") is None
        left = await records.claim("one", "1700000000.1")
        assert left is not None
        assert left.record == record.model_copy(update={"error": DIED})
        assert left.checkpoint.vars == {"count": 3}
        assert (left.checkpoint.with_person, left.checkpoint.fallback, left.checkpoint.resumed) == (
            True,
            "pjsip:desk",
            1,
        )
        again = await records.claim("one", "1700000000.1")
        assert again is not None
        assert again.checkpoint.resumed == 2, "also when the engine dies at once"


async def test_a_claim_begins_at_the_channel_however_many_calls_the_engine_has_recorded(url: str) -> None:
    """What a claim reads must not grow with the years: it holds the lock that the writer needs."""
    async with Records.open(url, engine="one") as records:
        records.follow("a", at())
        await records.save(full_record("a", outcome="live", engine="one"))
        await records.flush()
        row = rows(full_record("old", outcome="completed", engine="one"))[calls][0]
        async with records._engine.begin() as connection:
            await connection.execute(insert(calls), [{**row, "id": f"old-{number}"} for number in range(2000)])
            await connection.execute(text("ANALYZE calls"))
        sqlite = url.startswith("sqlite")
        statement = counting("one", "1700000000.1").compile(
            records._engine.sync_engine, compile_kwargs={"literal_binds": True}
        )
        async with records._engine.connect() as connection:
            asked = f"EXPLAIN {'QUERY PLAN' if sqlite else ''} {statement}"
            plan = [str(line[-1]) for line in (await connection.execute(text(asked))).all()]
        reads = [line for line in plan if " calls" in line or "calls_" in line]
        assert reads, plan
        assert all("calls_engine" not in line and "Seq Scan" not in line and "SCAN" not in line for line in reads), plan
        if sqlite:
            assert any("SEARCH checkpoints USING INDEX checkpoints_channel" in line for line in plan), plan
        assert await records.claim("two", "1700000000.1") is None
        assert await records.claim("one", "1700000000.1") is not None


async def test_values_of_every_type_come_back(url: str) -> None:
    then = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC)
    values = {
        "since": then,
        "count": 3,
        "part": 2.0,
        "word": "é",
        "thing": {"k": [1, None]},
        "yes_": True,
        "any_": None,
    }
    types = dict(zip(values, ("timestamp", "integer", "number", "string", "object", "boolean", "any"), strict=True))
    declared = flow(vars={name: Variable(type) for name, type in types.items()})
    async with Records.open(url, engine="one") as records:
        records.follow("a", at(vars=values))
        await records.save(full_record("a", outcome="live", engine="one"))
        await records.flush()
        left = await records.claim("one", "1700000000.1")
    assert left is not None
    assert resumed_vars(left.checkpoint.vars, declared) == values


async def test_the_first_error_of_a_lost_call_stays(url: str) -> None:
    async with Records.open(url, engine="one") as records:
        await records.save(full_record("a", outcome="live", error="the till is on fire", engine="one"))
    async with Records.open(url, engine="one") as records:
        assert (await records.get("a")).error == "the till is on fire"


async def test_what_nobody_takes_up_is_forgotten_after_a_day(url: str) -> None:
    async with Records.open(url) as records:
        for name, age in (("old", KEPT + timedelta(minutes=1)), ("new", KEPT - timedelta(minutes=1))):
            records.follow(name, at(at=datetime.now(UTC) - age))
            await records.save(full_record(name, outcome="live"))
    async with Records.open(url, engine="other"):
        assert list(await kept(url)) == ["new"]


async def test_without_transcripts_no_variable_is_stored(url: str) -> None:
    async with Records.open(url, engine="one", transcripts=False) as records:
        records.follow("a", at(vars={"name": "Ada"}))
        await records.save(full_record("a", outcome="live", engine="one"))
        await records.flush()
        assert (await kept(url))["a"]["vars"] == {}


FLOW = """
flow: shop
vars:
  name: {type: string}
  pin: {type: string, sensitive: true}
  copy: {type: string}
  inside: {type: object}
  before: {type: string}
  twin: {type: string}
  twins: {type: object}
  masked: {type: string}
steps:
  - set: {name: Ada, before: "5678"}
  - set: {twin: "${vars.before}", masked: "${mask(vars.before, 0)}"}
  - set: {twins: "${{'k': vars.twin}}"}
  - set: {pin: "${vars.before}"}
  - set: {copy: "${vars.pin}", inside: "${{'k': [vars.pin]}}"}
  - wait_for: dtmf
    outcomes: {timeout: []}
  - transfer: {attempts: [{targets: ["pjsip:desk"]}]}
    outcomes: {failed: []}
"""


async def test_a_call_is_followed_from_step_to_step_and_never_its_secrets(url: str, tmp_path: Path) -> None:
    """Also not what becomes a secret, nor what has taken either up."""
    flows = library(tmp_path, FLOW)
    async with Records.open(url, engine="virtual") as records:
        services = virtual_services(records=records, clock=Clock())
        line = VirtualLine(targets={"pjsip:desk": {"answer": 0.01}})
        call = Call(line, flows.flows["shop"], flows, services, account="acme", fallback="pjsip:counter")
        records.follow(call.record.id, lambda: state_of(call, 1))

        async def script() -> None:
            await line.log.until("answered", who="caller")
            await records.flush()
            row = (await kept(url))[call.record.id]
            assert row["vars"] == {"name": "Ada", "masked": "****"}
            assert (row["account"], row["fallback"], row["resumed"]) == ("acme", "pjsip:counter", 1)
            assert row["channel"] == line.facts.channel
            await line.caller.presses("1")
            await line.log.until("connected", who="pjsip:desk")
            while not call.with_person:
                await line.caller.waits(0.001)
            await records.flush()
            assert (await kept(url))[call.record.id]["with_person"]
            await line.caller.hangs_up()

        await beside_script(call, script)
        await records.flush()
        assert await kept(url) == {}
        assert "5678" not in json.dumps((await records.get(call.record.id)).model_dump(mode="json"))
