"""What goes wrong with those who are rung: the caller and the others are not to lose by it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine.callee import TAKEN
from engine.line import DialOptions
from engine.virtual import VirtualLine, VirtualProvider, virtual_time
from engine.virtual.leg import VirtualLeg
from engine.virtual.voice import VirtualSpeaker
from tests.engine.verbs.phone import Over, dial, flow, library


def both(more: str = "", fields: str = "") -> str:
    targets = 'targets: ["pjsip:a", "pjsip:b"], timeout: 20s'
    return flow(
        f"- transfer: {{attempts: [{{{targets}{more}}}]{fields}}}\n  outcomes: {{failed: [{{say: Nobody.}}]}}\n"
    )


def attempts(over: Over) -> list[tuple[str, str]]:
    return [(attempt.target.removeprefix("pjsip:"), attempt.status) for attempt in over.record.attempts]


async def stays(line: VirtualLine) -> None:
    await line.caller.waits(40)
    if not line.ended.done():
        await line.caller.hangs_up()


class Mistaken(VirtualProvider):
    """Cannot tell a loser that the call is taken."""

    def speaker(self) -> Any:
        class Speaker(VirtualSpeaker):
            async def speak(self, text: str, **options: Any) -> bytes:
                if text == TAKEN:
                    raise KeyError("audio")
                return await super().speak(text, **options)

        return Speaker()


@virtual_time
async def test_a_loser_who_cannot_be_told_costs_nobody_the_call(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 2, "keys": "1", "keys_after": 3}, "pjsip:b": {"answer": 2}}
    over = await dial(library(tmp_path, both(", accept: {}")), stays, provider=Mistaken(), targets=targets)
    assert over.line.log.now >= 40
    assert (over.record.outcome, over.record.error, over.heard) == ("handed_off", "", [])


@virtual_time
async def test_who_hangs_up_while_they_may_be_a_machine_has_declined(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 2, "hangs_up_after": 1}, "pjsip:b": {"answer": 8}}
    over = await dial(library(tmp_path, both(", machine: reject")), stays, targets=targets)
    assert attempts(over) == [("a", "declined"), ("b", "answered")]
    assert (over.record.outcome, over.heard) == ("handed_off", [])


@virtual_time
async def test_the_next_rings_at_once_when_they_hang_up(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 2, "hangs_up_after": 1}, "pjsip:b": "answer"}
    over = await dial(library(tmp_path, both(", machine: reject, ring: serial")), stays, targets=targets)
    assert over.line.log.find("dialled")[-1].at == 3.0


@virtual_time
async def test_who_hangs_up_before_the_extension_was_dialled_has_declined(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 2, "hangs_up_after": 1}, "pjsip:b": {"answer": 8}}
    over = await dial(library(tmp_path, both(fields=", dtmf_after_answer: wwww1")), stays, targets=targets)
    assert attempts(over) == [("a", "declined"), ("b", "answered")]


BRIEF = ', brief: {text: "A caller for you, they want a pizza and more things."}'


@virtual_time
async def test_when_the_winner_hangs_up_during_the_brief_the_others_ring_again(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 2, "hangs_up_after": 1}, "pjsip:b": {"answer": 8}}
    over = await dial(library(tmp_path, both(fields=BRIEF)), stays, targets=targets)
    assert attempts(over) == [("a", "declined"), ("b", "cancelled"), ("b", "answered")]
    assert (over.record.outcome, over.heard) == ("handed_off", [])
    caller = over.line.log.find("heard", "cut", who="caller")
    assert sum(entry.ms for entry in caller) >= 9000  # ringback, also the second time


@virtual_time
async def test_they_ring_no_longer_than_they_may_together(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 15, "hangs_up_after": 1}, "pjsip:b": "no_answer"}
    over = await dial(library(tmp_path, both(fields=BRIEF)), targets=targets)
    assert attempts(over) == [("a", "declined"), ("b", "cancelled"), ("b", "no_answer")]
    assert over.heard == ["Nobody."]
    assert over.line.log.find("heard")[-1].at <= 22
    assert over.ways[0] == ("transfer", "declined")


@virtual_time
async def test_who_has_said_no_is_not_rung_again(tmp_path: Path) -> None:
    targets = {"pjsip:a": {"answer": 5, "hangs_up_after": 1}, "pjsip:b": {"busy": 1}}
    over = await dial(library(tmp_path, both(fields=BRIEF)), targets=targets)
    assert attempts(over) == [("a", "declined"), ("b", "busy")]


@virtual_time
async def test_nobody_waits_for_the_end_of_who_was_too_late(tmp_path: Path) -> None:
    """Every command takes its time; that which hangs up the others is not on the caller's way to the winner."""
    line = VirtualLine(targets={"pjsip:a": {"answer": 2}, "pjsip:b": "no_answer"})
    dialled = line.dial

    async def dial_slowly_gone(target: str, options: DialOptions) -> VirtualLeg:
        leg = await dialled(target, options)
        hang_up = leg.hangup

        async def late(cause: int = 16) -> None:
            await asyncio.sleep(17)
            await hang_up(cause)

        leg.hangup = late  # type: ignore[method-assign]
        return leg

    line.dial = dial_slowly_gone  # type: ignore[method-assign]
    over = await dial(library(tmp_path, both()), stays, line=line)
    assert over.line.log.find("connected")[0].at == 2.0
    assert all(leg.ended is not None for leg in over.record.legs)
