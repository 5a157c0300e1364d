"""The next version of a flow on virtual lines: who gets it, and when it is given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from engine.loading import load_library
from engine.record import CallRecord
from engine.reload import Reload
from engine.virtual import VirtualLine, virtual_time
from flows.library import Library
from tests.engine.test_switchboard import House, open_house
from tests.engine.verbs.phone import flow

ROUTES = (
    "routes: [{flow: test, version: {stable: STABLE, next: NEXT}, sticky_by: caller.number, roll_back: ROLL_BACK}]\n"
)
GOOD = flow("- say: Next speaks.")
FAILS = flow("- id: bad\n  say: '${steps.bad.outcome.size() + 1}'")
RINGS = flow("- transfer: {attempts: [{targets: ['pjsip:desk'], timeout: 20s}]}\n  outcomes: {failed: []}")


def house(
    folder: Path, next_: str, roll_back: str = "{calls: 10, failed: 20}", share: tuple[int, int] = (0, 100)
) -> Library:
    (folder / "test.flow.yaml").write_text(flow("- say: Stable speaks."))
    (folder / "test.next.flow.yaml").write_text(next_)
    routes = ROUTES.replace("STABLE", str(share[0])).replace("NEXT", str(share[1])).replace("ROLL_BACK", roll_back)
    (folder / "routes.yaml").write_text(routes)
    return load_library([folder])


async def answered(made: House, line: VirtualLine | None = None, **facts: Any) -> str:
    """Which version took a call, once the call is over."""
    line = made.incoming.call(line, **facts)
    library = made.board.library
    await line.ended
    while line.facts.id in made.board.calls:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    revision = made.record(line).revision
    return "next" if revision == library.next["test"].revision else "stable"


def count(made: House, reason: str) -> float:
    return made.services.metrics.registry.get_sample_value(
        "hookflash_flow_roll_back_total", {"flow": "test", "reason": reason}
    ) or 0.0  # fmt: skip


@virtual_time
async def test_callers_are_divided_and_stay(tmp_path: Path) -> None:
    async with open_house(house(tmp_path, GOOD, share=(50, 50))) as made:
        callers = [f"+1415555{n:04d}" for n in range(20)]
        first = [await answered(made, caller=caller) for caller in callers]
        assert [await answered(made, caller=caller) for caller in callers] == first
    assert set(first) == {"stable", "next"}


@virtual_time
async def test_a_next_version_that_fails_is_rolled_back(tmp_path: Path) -> None:
    """20 per cent of 10 calls may fail: two do, the third is too much."""
    async with open_house(house(tmp_path, FAILS)) as made:
        with capture_logs() as logs:
            got = [await answered(made) for _ in range(5)]
        state = Reload([tmp_path], made.board, made.services).state()
        next_ = made.board.library.next["test"]
    assert got == ["next", "next", "next", "stable", "stable"]
    assert count(made, "failed") == 1
    [entry] = [entry for entry in logs if "rolled back" in entry["event"]]
    assert (entry["log_level"], entry["flow"], entry["revision"]) == ("error", "test", next_.revision)
    assert (entry["reason"], entry["calls"], entry["of"], entry["limit_percent"]) == ("failed", 3, 3, 20)
    assert state["flows"][0]["next"] == {
        "name": "test", "version": 1, "revision": next_.revision, "rolled_back": "failed"
    }  # fmt: skip


@virtual_time
async def test_a_next_version_whose_hand_offs_fail_is_rolled_back(tmp_path: Path) -> None:
    async with open_house(house(tmp_path, RINGS, "{calls: 4, failed: 0, handoff_failed: 50}")) as made:
        got = [await answered(made, VirtualLine(targets={"pjsip:desk": "busy"})) for _ in range(4)]
    assert got == ["next", "next", "next", "stable"]
    assert (count(made, "handoff_failed"), count(made, "failed")) == (1, 0)


@virtual_time
async def test_hand_offs_that_are_answered_are_none_that_failed(tmp_path: Path) -> None:
    async with open_house(house(tmp_path, RINGS, "{calls: 4, failed: 0, handoff_failed: 0}")) as made:
        targets = {"pjsip:desk": {"answer": 2, "hangs_up_after": 3}}
        assert [await answered(made, VirtualLine(targets=targets)) for _ in range(6)] == ["next"] * 6


@virtual_time
async def test_only_the_last_calls_count(tmp_path: Path) -> None:
    """One in four fails: with a window of three calls there are never two in it."""
    async with open_house(house(tmp_path, RINGS, "{calls: 3, handoff_failed: 34}")) as made:
        for n in range(16):
            target: Any = "busy" if n % 4 == 0 else {"answer": 2, "hangs_up_after": 3}
            assert await answered(made, VirtualLine(targets={"pjsip:desk": target})) == "next"
        for expected in ("next", "next", "stable"):
            assert await answered(made, VirtualLine(targets={"pjsip:desk": "busy"})) == expected


@virtual_time
async def test_without_thresholds_nothing_is_rolled_back(tmp_path: Path) -> None:
    async with open_house(house(tmp_path, FAILS, "null")) as made:
        assert [await answered(made) for _ in range(20)] == ["next"] * 20


@virtual_time
async def test_a_better_one_is_tried_and_the_old_one_stays_rolled_back(tmp_path: Path) -> None:
    async with open_house(house(tmp_path, FAILS, "{calls: 10, failed: 0}")) as made:
        reload = Reload([tmp_path], made.board, made.services)
        assert [await answered(made) for _ in range(2)] == ["next", "stable"]
        house(tmp_path, GOOD, "{calls: 10, failed: 0}")
        assert await reload.reload() == "taken"
        assert [await answered(made) for _ in range(2)] == ["next", "next"]
        house(tmp_path, FAILS, "{calls: 10, failed: 0}")
        assert await reload.reload() == "taken"
        assert await answered(made) == "stable"


@virtual_time
async def test_without_a_next_version_all_calls_are_stable(tmp_path: Path) -> None:
    house(tmp_path, GOOD)
    (tmp_path / "test.next.flow.yaml").unlink()
    async with open_house(load_library([tmp_path])) as made:
        line = made.incoming.call()
        assert (await line.caller.hears("Stable speaks")).who == "caller"


@virtual_time
async def test_an_error_that_a_handler_dealt_with_is_still_one_of_this_version(tmp_path: Path) -> None:
    handled = FAILS.replace("steps:", "handlers: [{event: error, steps: [{say: Goodbye.}]}]\nsteps:", 1)
    async with open_house(house(tmp_path, handled, "{calls: 10, failed: 10}")) as made:
        got = [await answered(made) for _ in range(3)]
        counted = made.services.metrics.registry.get_sample_value
        assert counted("hookflash_calls_with_error_total", {"flow": "test"}) == 2
        assert counted("hookflash_calls_ended_total", {"flow": "test", "outcome": "failed"}) is None
        assert count(made, "failed") == 1
    assert got == ["next", "next", "stable"]


@virtual_time
async def test_calls_that_the_engine_cut_off_tell_nothing(tmp_path: Path) -> None:
    made = House(house(tmp_path, GOOD, "{calls: 10, failed: 0}"), 1)
    library = made.board.library
    versions = library.routes[0].versions
    assert versions is not None
    assert versions.roll_back is not None
    lost = CallRecord(id="1", outcome="lost", error="the engine was stopped")
    made.board.trials.ended(library.next["test"], versions.roll_back, lost)
    assert made.board.trials.rolled_back(library.next["test"]) is None
    failed = CallRecord(id="2", outcome="failed", error="the flow failed")
    with capture_logs():
        made.board.trials.ended(library.next["test"], versions.roll_back, failed)
    assert made.board.trials.rolled_back(library.next["test"]) == "failed"
