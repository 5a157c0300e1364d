from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.call import Call
from engine.company import Comfort
from engine.handoff import Plan, Result, Round, hand_off, stay_connected
from engine.line import LineError, LineGone
from engine.record import CallRecord
from engine.virtual import VirtualLine, run, virtual_services, virtual_time
from engine.virtual.line import Command
from flows.flow import Step
from tests.engine.support import flow, forever, run_call, step


class HandsOff:
    """A step that hands off by a plan and, when somebody answers, stays connected."""

    def __init__(self, *rounds: Round, stays: bool = True, **plan: Any) -> None:
        self.plan = Plan(rounds=rounds, **plan)
        self.stays = stays
        self.results: list[Result] = []

    async def __call__(self, at: Step, call: Call) -> None:
        result = await hand_off(call, self.plan, "transfer")
        self.results.append(result)
        if result.leg is not None and self.stays:
            await stay_connected(call, result.leg)
            call.with_person = False

    @property
    def result(self) -> Result:
        return self.results[-1]

    @property
    def attempts(self) -> list[tuple[str, str]]:
        return [(attempt.target, attempt.status) for attempt in self.result.attempts]


async def hands_off(
    line: VirtualLine, *rounds: Round, caller_id: str | None = None, **plan: Any
) -> tuple[HandsOff, CallRecord]:
    act = HandsOff(*rounds, **plan)
    record = await run_call(flow(step(act)), line, services=virtual_services(caller_id=caller_id))
    return act, record


def moments(line: VirtualLine, who: str) -> list[tuple[float, str]]:
    return [(entry.at, entry.what) for entry in line.log if entry.who == who]


def ringing(*targets: str, ring: Any = "simultaneous", timeout: float = 30.0) -> Round:
    return Round(targets, ring, timeout)


# ── Reaching somebody ─────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_a_person_answers_and_both_hear_each_other() -> None:
    line = VirtualLine(targets={"pjsip:a": {"answer": 9, "hangs_up_after": 30}})
    act, record = await hands_off(line, ringing("pjsip:a"))
    assert act.result.status == "connected"
    assert moments(line, "pjsip:a") == [(0, "dialled"), (9, "answered"), (9, "connected"), (39, "hung_up")]
    attempt = record.attempts[0]
    assert (attempt.target, attempt.status, attempt.sip_code, attempt.ring_ms) == ("pjsip:a", "answered", 200, 9000)
    leg = record.legs[1]
    assert leg.answered is not None
    assert leg.ended is not None
    assert (leg.kind, leg.party, leg.cause) == ("target", "pjsip:a", 16)
    assert (leg.ended - leg.answered).total_seconds() == 30


@virtual_time
async def test_serial_targets_ring_one_after_the_other_each_in_its_time() -> None:
    line = VirtualLine(
        targets={
            "pjsip:a": "no_answer",
            "pjsip:b": {"busy": 2},
            "pjsip:c": {"answer": 3, "hangs_up_after": 1},
            "pjsip:d": "answer",
        }
    )
    act, record = await hands_off(line, ringing("pjsip:a", "pjsip:b", "pjsip:c", "pjsip:d", ring="serial", timeout=10))
    assert act.attempts == [("pjsip:a", "no_answer"), ("pjsip:b", "busy"), ("pjsip:c", "answered")]
    assert [moments(line, f"pjsip:{name}")[0][0] for name in "abc"] == [0, 10, 12]
    assert [(attempt.sip_code, attempt.q850) for attempt in record.attempts] == [(480, 19), (486, 17), (200, None)]


@virtual_time
async def test_the_first_of_those_who_ring_together_wins_and_the_rest_is_cancelled() -> None:
    line = VirtualLine(
        targets={
            "pjsip:a": {"answer": 5},
            "pjsip:b": {"answer": 3, "hangs_up_after": 9},
            "pjsip:c": "no_answer",
            "pjsip:d": "busy",
        }
    )
    act, record = await hands_off(line, ringing("pjsip:a", "pjsip:b", "pjsip:c", "pjsip:d"))
    assert dict(act.attempts) == {
        "pjsip:a": "cancelled",
        "pjsip:b": "answered",
        "pjsip:c": "cancelled",
        "pjsip:d": "busy",
    }
    assert moments(line, "pjsip:a") == [(0, "dialled"), (3, "hung_up")]
    assert moments(line, "pjsip:c") == [(0, "dialled"), (3, "hung_up")]
    assert [entry.who for entry in line.log.find("connected")] == ["pjsip:b"]
    assert all(leg.ended is not None for leg in record.legs)


@pytest.mark.parametrize("latency", [0.0, 0.05])
@virtual_time
async def test_of_two_who_answer_at_once_one_is_connected_and_one_is_hung_up(latency: float) -> None:
    line = VirtualLine(
        targets={"pjsip:a": {"answer": 3, "hangs_up_after": 9}, "pjsip:b": {"answer": 3, "hangs_up_after": 9}},
        latency=latency,
    )
    act, _ = await hands_off(line, ringing("pjsip:a", "pjsip:b"))
    assert sorted(status for _, status in act.attempts) == ["answered", "cancelled"]
    connected = line.log.find("connected")
    assert len(connected) == 1
    loser = "pjsip:b" if connected[0].who == "pjsip:a" else "pjsip:a"
    hung_up = [entry for entry in line.log.find("hung_up") if entry.who == loser]
    assert [entry.text for entry in hung_up] == ["engine"]
    assert hung_up[0].at < 4


@virtual_time
async def test_the_next_round_rings_when_the_one_before_failed() -> None:
    line = VirtualLine(
        targets={"pjsip:a": "busy", "pjsip:b": "declined", "pjsip:c": {"answer": 1, "hangs_up_after": 1}}
    )
    act, _ = await hands_off(line, ringing("pjsip:a", "pjsip:b"), ringing("pjsip:c"))
    assert dict(act.attempts) == {"pjsip:a": "busy", "pjsip:b": "declined", "pjsip:c": "answered"}
    assert moments(line, "pjsip:c")[0] == (4, "dialled")


@virtual_time
async def test_a_target_that_is_gone_before_it_is_connected_is_not_the_last() -> None:
    line = VirtualLine(
        targets={"pjsip:a": {"answer": 1, "hangs_up_after": 0.01}, "pjsip:b": {"answer": 1, "hangs_up_after": 5}},
        latency=0.05,
    )
    act, _ = await hands_off(line, ringing("pjsip:a"), ringing("pjsip:b"))
    assert act.result.status == "connected"
    assert [entry.who for entry in line.log.find("connected")] == ["pjsip:b"]


@virtual_time
async def test_how_a_target_is_dialled() -> None:
    line = VirtualLine(targets={"pjsip:a": {"answer": 1, "hangs_up_after": 1}})
    await hands_off(line, ringing("pjsip:a", timeout=12), headers={"X-Call": "7"}, caller_id="+14155550111")
    options = line.legs[0].options
    assert (options.timeout, options.caller_id, dict(options.headers)) == (
        12, "+14155550111", {"X-Call": "7"},
    )  # fmt: skip


# ── Reaching nobody ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("behaviours", "status"),
    [
        (["busy"], "busy"),
        (["no_answer"], "no_answer"),
        (["declined"], "declined"),
        (["unavailable"], "unavailable"),
        (["impossible"], "unavailable"),
        (["failed"], "failed"),
        (["busy", "busy"], "busy"),
        (["busy", "no_answer"], "busy"),
        (["no_answer", "unavailable"], "no_answer"),
        (["unavailable", "failed"], "unavailable"),
        (["busy", "declined", "no_answer"], "declined"),
    ],
)
@pytest.mark.parametrize("ring", ["serial", "simultaneous"])
@virtual_time
async def test_why_nobody_could_be_reached(behaviours: Sequence[str], status: str, ring: str) -> None:
    line = VirtualLine(targets={f"pjsip:t{number}": behaviour for number, behaviour in enumerate(behaviours)})
    act, _ = await hands_off(line, ringing(*(f"pjsip:t{number}" for number in range(len(behaviours))), ring=ring))
    assert act.result.status == status
    assert act.result.leg is None
    assert len(act.attempts) == len(behaviours)
    assert line.log.find("connected") == []


@virtual_time
async def test_the_clock_of_the_step_runs_on_whatever_targets_do() -> None:
    line = VirtualLine(targets={"pjsip:a": "no_answer", "pjsip:b": {"busy": 5}, "pjsip:c": {"answer": 28}})
    act, record = await hands_off(line, ringing("pjsip:a", timeout=20), ringing("pjsip:b", "pjsip:c"), timeout=45)
    assert act.result.status == "timeout"
    assert moments(line, "pjsip:c") == [(20, "dialled"), (45, "hung_up")]
    assert dict(act.attempts) == {"pjsip:a": "no_answer", "pjsip:b": "busy", "pjsip:c": "cancelled"}
    assert [attempt.ring_ms for attempt in record.attempts] == [20_000, 5000, 25_000]


@virtual_time
async def test_a_line_that_never_says_that_nobody_answered_does_not_hold_the_caller() -> None:
    line = VirtualLine(targets={"pjsip:a": "no_answer"}, faults={"dial": 500.0})
    act, _ = await hands_off(line, ringing("pjsip:a", timeout=10))
    assert act.attempts == [("pjsip:a", "no_answer")]
    assert line.log.now == pytest.approx(12)


@virtual_time
async def test_a_line_that_cannot_connect_hangs_the_target_up() -> None:
    line = VirtualLine(targets={"pjsip:a": "answer"}, faults={"connect": LineError("no bridge")})
    act, record = await hands_off(line, ringing("pjsip:a"))
    assert act.result.status == "failed"
    assert moments(line, "pjsip:a") == [(0, "dialled"), (3, "answered"), (3, "hung_up")]
    assert record.legs[1].ended is not None


# ── What the caller hears ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["ringback", "music"])
@virtual_time
async def test_the_caller_has_company_until_the_answer_and_no_longer(kind: Comfort) -> None:
    line = VirtualLine(targets={"pjsip:a": {"answer": 9.5, "hangs_up_after": 5}})
    await hands_off(line, ringing("pjsip:a"), caller_hears=kind)
    heard = line.log.find("heard", "cut", who="caller")
    assert sum(entry.ms for entry in heard) == 9500
    assert heard[-1].at == 9.5


@virtual_time
async def test_company_stops_when_nobody_can_be_reached() -> None:
    line = VirtualLine(targets={"pjsip:a": {"busy": 4}})
    act = HandsOff(ringing("pjsip:a"))
    await run_call(flow(step(act), step(forever, timeout=20, outcomes={"error": []})), line)
    assert sum(entry.ms for entry in line.log.find("heard", "cut")) == 4000


@virtual_time
async def test_music_that_cannot_be_played_becomes_ringback(tmp_path: Path) -> None:
    line = VirtualLine(targets={"pjsip:a": {"answer": 2, "hangs_up_after": 1}})
    act, _ = await hands_off(line, ringing("pjsip:a"), caller_hears="music", music=tmp_path / "gone.wav")
    assert act.result.status == "connected"
    assert sum(entry.ms for entry in line.log.find("heard", "cut")) == 2000


@virtual_time
async def test_a_caller_who_cannot_be_played_to_is_put_through_all_the_same() -> None:
    line = VirtualLine(
        targets={"pjsip:a": {"answer": 2, "hangs_up_after": 1}}, faults={"open_media": LineError("no media")}
    )
    act, _ = await hands_off(line, ringing("pjsip:a"))
    assert act.result.status == "connected"


# ── The caller hangs up ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("latency", [0.0, 0.03])
@pytest.mark.parametrize("after", [0.01, 2.0, 2.999, 3.0, 3.001, 3.02, 3.04, 3.07, 3.1, 10.0])
@virtual_time
async def test_no_leg_is_left_whenever_the_caller_hangs_up(after: float, latency: float) -> None:
    line = VirtualLine(
        targets={"pjsip:a": {"answer": 3}, "pjsip:b": {"answer": 3.02}, "pjsip:c": "no_answer"}, latency=latency
    )

    async def script(line: VirtualLine) -> None:
        await line.caller.waits(after)
        await line.caller.hangs_up()

    record = await run_call(flow(step(HandsOff(ringing("pjsip:a", "pjsip:b", "pjsip:c")))), line, script)
    assert [entry.text for entry in line.log.find("hung_up") if entry.who != "caller"] == ["engine"] * len(line.legs)
    assert record.hangup_by == "caller"
    assert record.outcome == ("handed_off" if line.log.find("connected") else "caller_hung_up")
    assert all(leg.ended is not None for leg in record.legs)
    assert {attempt.status for attempt in record.attempts} <= {"answered", "cancelled"}


@virtual_time
async def test_a_line_that_is_gone_is_not_a_failed_hand_off() -> None:
    line = VirtualLine(targets={"pjsip:a": "answer"}, faults={"connect": LineGone("gone")})
    act = HandsOff(ringing("pjsip:a"))

    async def script(line: VirtualLine) -> None:
        await line.log.until("hung_up", who="pjsip:a")

    await run_call(flow(step(act)), line, script)
    assert act.results == []


BEHAVIOURS = st.sampled_from(["busy", "declined", "no_answer", "unavailable", "failed", "impossible"]) | st.builds(
    lambda after, hangs_up: {"answer": after, "hangs_up_after": hangs_up}, st.floats(0, 25), st.floats(0, 20)
)
ROUNDS = st.lists(
    st.tuples(
        st.sampled_from(["serial", "simultaneous"]), st.lists(BEHAVIOURS, min_size=1, max_size=4), st.floats(1, 20)
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@given(
    rounds=ROUNDS, box=st.none() | st.floats(1, 60), leaves=st.none() | st.floats(0, 80),
    latency=st.sampled_from([0.0, 0.01]), fault=st.sampled_from([None, "connect", "open_media"]),
)  # fmt: skip
def test_any_hand_off_keeps_its_time_and_leaves_nothing(
    rounds: list[tuple[Any, list[Any], float]],
    box: float | None,
    leaves: float | None,
    latency: float,
    fault: Command | None,
) -> None:
    async def main() -> None:
        table: dict[str, object] = {}
        plan = []
        for ring, behaviours, timeout in rounds:
            names = [f"pjsip:t{len(table) + number}" for number in range(len(behaviours))]
            table.update(zip(names, behaviours, strict=True))
            plan.append(ringing(*names, ring=ring, timeout=timeout))
        faults: Mapping[Command, Exception | float] = {fault: LineError("no")} if fault else {}
        line = VirtualLine(targets=table, latency=latency, faults=faults)
        act = HandsOff(*plan, timeout=box, stays=False)
        over: list[float] = []

        async def timed(at: Step, call: Call) -> None:
            await act(at, call)
            over.append(line.log.now)
            if act.result.leg is not None:
                await stay_connected(call, act.result.leg)

        async def script(line: VirtualLine) -> None:
            if leaves is not None:
                await asyncio.sleep(leaves)
                if not line.ended.done():
                    await line.caller.hangs_up()

        record = await run_call(flow(step(timed)), line, script)
        assert not [entry for entry in line.log if entry.what == "hung_up" and entry.text == "close"]
        assert len(line.log.find("connected")) <= 1
        longest = sum(item.timeout * (1 if item.ring == "simultaneous" else len(item.targets)) for item in plan)
        if over:
            assert over[0] <= min(longest, box if box is not None else longest) + 1
            assert (act.result.leg is not None) == bool(line.log.find("connected"))
        assert len(record.attempts) == len({attempt.target for attempt in record.attempts})
        assert all(leg.ended is not None for leg in record.legs)

    run(main())
