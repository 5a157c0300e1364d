from __future__ import annotations

from pathlib import Path

import pytest

from engine.line import LineError
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

STEPS = """
- detect_machine: {timeout: 4s}
  outcomes:
    machine:
      - wait_for: {event: beep, timeout: 20s}
        outcomes: {timeout: [{say: No beep.}]}
      - say: We will call again.
      - hangup: {result: machine}
    unknown: [{say: Are you there?}]
- say: Good day.
- hangup: {result: person}
"""


@virtual_time
async def test_a_person_is_greeted_as_soon_as_they_wait(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        await line.caller.says("Hello?", 0.5)

    over = await dial(library(tmp_path, flow(STEPS)), script)
    assert over.ways[0] == ("detect_machine", "human")
    assert over.record.steps[0].ms == pytest.approx(1900, abs=200)
    assert over.record.result == "person"


@pytest.mark.parametrize(("beeps", "said"), [(True, []), (False, ["No beep."])])
@virtual_time
async def test_a_machine_is_given_its_message_after_the_beep(tmp_path: Path, beeps: bool, said: list[str]) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.says("You have reached the answering machine of Miller and Sons. Speak after the tone.", 6.0)
        await line.caller.waits(0.5)
        if beeps:
            await line.caller.beeps()

    over = await dial(library(tmp_path, flow(STEPS)), script)
    assert over.ways[0] == ("detect_machine", "machine")
    assert over.heard == [*said, "We will call again."]
    assert over.record.result == "machine"


@virtual_time
async def test_silence_is_unknown(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow(STEPS)))
    assert over.ways[0] == ("detect_machine", "unknown")
    assert over.record.steps[0].ms == 4000
    assert over.heard[0] == "Are you there?"


def test_a_machine_has_a_bound(tmp_path: Path) -> None:
    assert "max_words" in problems(tmp_path, "- detect_machine: {max_words: 51}")[0]


# ── Asterisk's own ────────────────────────────────────────────────────────────────────────────────────────────────────

ASTERISKS = STEPS.replace("{timeout: 4s}", "{engine: asterisk, timeout: 4s}")


@pytest.mark.parametrize(
    ("says", "verdict"),
    [
        (("Hello?", 0.5), "human"),
        (("You have reached the answering machine of Miller and Sons. Speak after the tone.", 6.0), "machine"),
        (None, "unknown"),
    ],
    ids=["human", "machine", "unknown"],
)
@virtual_time
async def test_asterisk_may_be_asked_without_any_audio_of_ours(
    tmp_path: Path, says: tuple[str, float] | None, verdict: str
) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        if says is not None:
            await line.caller.says(*says)

    over = await dial(library(tmp_path, flow(ASTERISKS.partition("  outcomes")[0])), script)
    assert over.ways[0] == ("detect_machine", verdict)
    assert over.line.medias == []


@virtual_time
async def test_an_asterisk_that_cannot_tell_does_not_know(tmp_path: Path) -> None:
    line = VirtualLine(faults={"detect_machine": LineError("it has no context hookflash-machine")})
    over = await dial(library(tmp_path, flow(ASTERISKS)), line=line)
    assert over.ways[0] == ("detect_machine", "unknown")
    assert over.record.steps[0].detail == "it has no context hookflash-machine"
    assert over.heard[0] == "Are you there?"


def test_another_engine_is_told_of(tmp_path: Path) -> None:
    found = problems(tmp_path, "- detect_machine: {engine: asterix}")
    assert found == ["3:30: error[E203]: 'asterix' is not one of 'speech' or 'asterisk' (did you mean 'asterisk'?)"]
