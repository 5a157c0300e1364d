from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems


@virtual_time
async def test_time_passes(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- wait: 1h30m\n- wait: {duration: 250ms}\n- stop: {}")))
    assert over.record.steps[0].ms == 5_400_000
    assert over.record.steps[1].ms == 250
    assert over.record.answered is None


@virtual_time
async def test_a_key_of_a_handler_leads_away(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(7)
        await line.caller.presses("10")

    head = 'handlers: [{event: dtmf, digits: "0", goto: desk}]\nsections: {desk: [{stop: {}}]}'
    over = await dial(library(tmp_path, flow("- wait: 1m\n- say: Never.", head=head)), script)
    assert over.ways == [("wait", "cancelled"), ("stop", "done")]
    assert over.record.steps[0].ms == pytest.approx(7300, abs=1)


@virtual_time
async def test_the_caller_may_leave(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.waits(3)
        await line.caller.hangs_up()

    head = "vars: {late: {type: boolean}}\nhandlers: [{event: hangup, steps: [{wait: 2s}, {set: {late: true}}]}]"
    over = await dial(library(tmp_path, flow("- wait: 1m\n- say: Never.", head=head)), script)
    assert over.ways == [("wait", "cancelled"), ("wait", "done"), ("set", "done")]
    assert over.record.outcome == "caller_hung_up"


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(tmp_path, "- wait: 5\n- wait: {}\n- wait: {secs: 5s}")
    assert found[0] == "3:11: error[E203]: 5 is not a duration; give it a unit, such as 5s or 2m"
    assert found[1] == "4:5: error[E202]: wait needs 'duration'"
    assert found[-1] == "5:12: error[E201]: unknown key 'secs' (has: duration)"
