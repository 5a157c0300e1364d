"""`hookflash serve` that is killed in the middle of calls, and the next one under its name: real calls go on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from asterisk.instance import Instance
from asterisk.world import Caller, Rung, World
from engine.record import CallRecord
from engine.records.database import connect
from engine.records.tables import checkpoints
from engine.resume import CUT_OFF, RESTARTED
from tests.test_serve import database, records, served

pytestmark = pytest.mark.asterisk

NUMBER = "+12125550100"
DESK = "+12125590123"
LONG = "Please listen to this announcement, which is long enough for an engine to be killed while somebody hears it."
TALKS = f"""
flow: test
recover: again
vars:
  name: {{type: string}}
  pin: {{type: string, sensitive: true, default: none}}
steps:
  - set: {{name: Ada, pin: "4711"}}
  - say: {{text: "{LONG}", loop: 20}}
  - hangup: {{result: not this}}
sections:
  again:
    - when: vars.name == 'Ada' && vars.pin == 'none'
      play: {{file: tone.wav}}
    - hangup: {{result: "${{vars.name}} again"}}
"""
RINGS = """
flow: test
recover: again
steps:
  - ringing: {}
  - wait: 60s
sections:
  again: [{play: {file: tone.wav}}, {hangup: {result: answered}}]
"""
HANDS_OVER = f"""
flow: test
recover: again
steps:
  - transfer: {{attempts: [{{targets: ["tel:{DESK}"]}}], after_callee_hangup: continue}}
    outcomes: {{failed: []}}
  - hangup: {{}}
sections:
  again: [{{hangup: {{result: not this}}}}]
"""


class Desk:
    """A person at a telephone: answers, sounds, and hangs up when told."""

    def __init__(self, outside: World, number: str) -> None:
        self.leaves = asyncio.Event()
        self.who: asyncio.Future[Rung] = asyncio.get_running_loop().create_future()
        outside.when_rung(number, self._act)

    async def _act(self, who: Rung) -> None:
        await who.answers()
        self.who.set_result(who)
        await self.leaves.wait()


@asynccontextmanager
async def killed(
    pbx: Instance, folder: Path, flow: str, in_the_middle: Callable[[], Awaitable[None]], **settings: str
) -> AsyncIterator[None]:
    """An engine takes a call and is killed by the kernel in the middle of it; the block is the time without one."""
    async with served(pbx, folder, flow, **settings) as engine:
        await engine.url()
        await in_the_middle()
        engine.tell(signal.SIGKILL)
        assert await engine.stops(within=5) == -signal.SIGKILL
    yield


async def stored(folder: Path, until: Callable[[CallRecord], bool]) -> CallRecord:
    """The only record, as soon as the database has it so."""
    async with asyncio.timeout(20):
        while True:
            found = await records(folder)
            if len(found) == 1 and until(found[0]):
                return found[0]
            await asyncio.sleep(0.05)


async def over(folder: Path) -> CallRecord:
    """The record of the call that went on, when it has ended."""
    return await stored(folder, lambda record: record.ended is not None)


async def in_step(folder: Path, verb: str) -> None:
    """Until the database knows that a step of this verb runs."""
    await stored(folder, lambda record: bool(record.steps) and record.steps[-1].verb == verb)


def tone(world: World, folder: Path) -> None:
    """The file that flows play."""
    (folder / "flows").mkdir()
    (folder / "flows/tone.wav").write_bytes(world.tone(1000, 2.0).read_bytes())


async def test_a_call_whose_engine_is_killed_goes_on_at_recover(pbx: Instance, world: Instance, tmp_path: Path) -> None:
    async with World.open(world) as outside:
        tone(outside, tmp_path)
        callers: list[Caller] = []

        async def talk() -> None:
            callers.append(await outside.call(NUMBER, name="Ada", headers={"X-Plan": "gold"}))
            await callers[0].answered()
            await callers[0].hears_something()
            await in_step(tmp_path, "say")

        async with killed(pbx, tmp_path, TALKS, talk):
            assert not callers[0].over.is_set()
        async with served(pbx, tmp_path, TALKS) as engine:
            await engine.url()
            await callers[0].is_over()
            _, heard = await callers[0].recording()
            record = await over(tmp_path)
    _, ends = heard.bursts()[-1]
    assert heard.part(ends - 1.8, ends).tone_share(1000) > 0.9, "the section recover was heard"
    assert (record.outcome, record.result, record.hangup_by) == ("completed", "Ada again", "flow")
    assert (record.caller, record.did, record.caller_name) == ("+12125550199", NUMBER, "Ada")
    assert [(step.path, step.outcome) for step in record.steps] == [
        ("steps/0", "done"), ("steps/1", "cancelled"), ("sections/again/0", "done"), ("sections/again/1", "done"),
    ]  # fmt: skip
    assert record.steps[1].detail == CUT_OFF
    assert [one.text for one in record.transcript if one.role == "system"] == [
        f"{RESTARTED}the call goes on at section again"
    ]
    await asyncio.gather(pbx.idle(), world.idle())


async def test_an_engine_whose_application_is_taken_keeps_its_calls_until_it_is_dead(
    pbx: Instance, world: Instance, tmp_path: Path
) -> None:
    """Two engines of one name never run one call: the second has it when the first is killed, and not before."""
    async with World.open(world) as outside:
        tone(outside, tmp_path)
        async with served(pbx, tmp_path, TALKS) as first:
            await first.url()
            caller = await outside.call(NUMBER)
            await caller.hears_something()
            await in_step(tmp_path, "say")
            async with served(pbx, tmp_path, TALKS) as second:
                await second.url()
                await second.says("another engine of hookflash lives")
                await first.says("another client took the application name")
                was = len((await stored(tmp_path, lambda record: True)).steps)
                assert not any("was left by an engine that died" in line for line in second.lines)
                assert not caller.over.is_set()
                first.tell(signal.SIGKILL)
                assert await first.stops(within=5) == -signal.SIGKILL
                await second.says("a call goes on after its engine died")
                await caller.is_over()
                record = await over(tmp_path)
    assert was == 2
    assert (record.outcome, record.result) == ("completed", "Ada again")
    assert len([one for one in record.transcript if one.text.startswith(RESTARTED)]) == 1
    await asyncio.gather(pbx.idle(), world.idle())


async def test_a_call_that_was_not_answered_goes_on_too(pbx: Instance, world: Instance, tmp_path: Path) -> None:
    async with World.open(world) as outside:
        tone(outside, tmp_path)
        callers: list[Caller] = []

        async def ring() -> None:
            callers.append(await outside.call(NUMBER))
            await in_step(tmp_path, "wait")

        async with killed(pbx, tmp_path, RINGS, ring):
            pass
        async with served(pbx, tmp_path, RINGS) as engine:
            await engine.url()
            await callers[0].answered()
            await callers[0].is_over()
            _, heard = await callers[0].recording()
            record = await over(tmp_path)
    assert heard.tone_share(1000) > 0.9
    assert (record.outcome, record.result) == ("completed", "answered")
    assert record.answered is not None
    await asyncio.gather(pbx.idle(), world.idle())


async def test_without_recover_somebody_is_rung(pbx: Instance, world: Instance, tmp_path: Path) -> None:
    flow, safety = TALKS.replace("recover: again", ""), {"HOOKFLASH_SAFETY_DESTINATION": "tel:+12125561000"}
    async with World.open(world) as outside:
        tone(outside, tmp_path)
        callers: list[Caller] = []

        async def talk() -> None:
            callers.append(await outside.call(NUMBER))
            await callers[0].hears_something()
            await in_step(tmp_path, "say")

        async with killed(pbx, tmp_path, flow, talk, **safety):
            assert not callers[0].over.is_set()
        async with served(pbx, tmp_path, flow, **safety) as engine:
            await engine.url()
            await stored(tmp_path, lambda record: any(leg.answered for leg in record.legs[1:]))
            await callers[0].hears_something()
            await callers[0].hangs_up()
            record = await over(tmp_path)
    assert (record.outcome, record.hangup_by) == ("handed_off", "caller")
    assert [(one.step, one.status) for one in record.attempts] == [("safety", "answered")]
    await asyncio.gather(pbx.idle(), world.idle())


async def test_without_anybody_the_dialplan_takes_the_call(pbx: Instance, world: Instance, tmp_path: Path) -> None:
    flow = TALKS.replace("recover: again", "")
    async with World.open(world) as outside:
        tone(outside, tmp_path)
        callers: list[Caller] = []

        async def talk() -> None:
            callers.append(await outside.call(NUMBER))
            await callers[0].hears_something()
            await in_step(tmp_path, "say")

        async with killed(pbx, tmp_path, flow, talk):
            pass
        async with served(pbx, tmp_path, flow) as engine:
            await engine.url()
            record = await over(tmp_path)
            assert "Congestion" in await pbx.cli("core show channels concise"), "what stands behind the engine"
            await callers[0].hangs_up()
    assert (record.outcome, record.result) == ("failed", "given back to the dialplan")
    await asyncio.gather(pbx.idle(), world.idle())


@asynccontextmanager
async def killed_behind_two_who_talk(pbx: Instance, outside: World, folder: Path) -> AsyncIterator[tuple[Desk, Caller]]:
    """No engine in the block, and in the one before it a caller was handed to a person."""
    desk, callers = Desk(outside, DESK), list[Caller]()

    async def talk() -> None:
        callers.append(await outside.call(NUMBER))
        await desk.who
        await knows_of_the_person(folder)

    async with killed(pbx, folder, HANDS_OVER, talk):
        yield desk, callers[0]


@pytest.mark.parametrize("who", ["target", "caller"])
async def test_two_who_talk_notice_nothing(pbx: Instance, world: Instance, tmp_path: Path, who: str) -> None:
    async with World.open(world) as outside:
        async with killed_behind_two_who_talk(pbx, outside, tmp_path) as (desk, caller):
            person = desk.who.result()
            await person.sounds(700, 1.0)
            assert not caller.over.is_set()
        async with served(pbx, tmp_path, HANDS_OVER) as engine:
            await engine.says("a call goes on after its engine died")
            await stored(tmp_path, lambda record: record.outcome == "live")
            await person.sounds(1000, 1.0)
            if who == "target":
                desk.leaves.set()
            else:
                await caller.hangs_up()
            record = await over(tmp_path)
            await caller.is_over()
        _, heard = await caller.recording()
    assert heard.tone_share(700) > 0.4, "while there was no engine"
    assert heard.tone_share(1000) > 0.4, "and under the next one"
    assert (record.outcome, record.hangup_by) == ("handed_off", who)
    assert [(step.verb, step.outcome) for step in record.steps] == [("transfer", "connected")]
    assert [leg.ended is not None for leg in record.legs] == [True, True]
    await asyncio.gather(pbx.idle(), world.idle())


async def knows_of_the_person(folder: Path) -> None:
    """Until the database knows that somebody answered, and was connected."""
    await stored(folder, lambda record: any(leg.answered for leg in record.legs[1:]))
    async with asyncio.timeout(20):
        while not await _with_person(folder):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_who_is_left_by_their_person_meanwhile_is_not_kept(
    pbx: Instance, world: Instance, tmp_path: Path
) -> None:
    async with World.open(world) as outside:
        async with killed_behind_two_who_talk(pbx, outside, tmp_path) as (desk, caller):
            desk.leaves.set()
            async with asyncio.timeout(10):
                while len(await pbx.channels()) > 1:  # noqa: ASYNC110 - the pbx tells nobody
                    await asyncio.sleep(0.05)
            assert not caller.over.is_set()
        async with served(pbx, tmp_path, HANDS_OVER) as engine:
            await engine.url()
            await caller.is_over()
            record = await over(tmp_path)
    assert (record.outcome, record.hangup_by) == ("handed_off", "target")
    await asyncio.gather(pbx.idle(), world.idle())


async def _with_person(folder: Path) -> bool:
    database_ = connect(database(folder))
    async with database_.connect() as connection:
        found = (await connection.execute(select(checkpoints.c.with_person))).scalars().all()
    await database_.dispose()
    return found == [True]
