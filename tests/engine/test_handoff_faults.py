"""What goes wrong with those who are rung: the caller and the others are not to lose by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.callee import TAKEN
from engine.virtual import VirtualLine, VirtualProvider, virtual_time
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
