from __future__ import annotations

import wave
from pathlib import Path

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.test_recording import loud, sides
from tests.engine.verbs.phone import dial, flow, library, problems


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.glob("recordings/*.wav"))


@virtual_time
async def test_both_sides_of_a_call_are_kept(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("Speak")
        await line.caller.waits(0.5)
        await line.caller.says("I do", 2.0)

    steps = """
    - say: Not this.
    - id: kept
      record: start
    - say: Speak now.
    - wait: 4s
    - record: stop
    - say: Nor this.
    - hangup: {result: "${steps.kept.file}"}
    """
    over = await dial(library(tmp_path, flow(steps)), script, storage=tmp_path)
    [file] = recordings(tmp_path)
    assert over.record.result == str(file)
    caller, engine = sides(file)
    says = 60 * len("Speak now.")
    assert len(engine) // 16 == says + 4000
    assert (loud(engine)[0][0], loud(engine)[-1][1]) == (0, says)
    assert (loud(caller)[0][0], loud(caller)[-1][1]) == (says + 500, says + 2500)
    assert over.record.steps[1].detail == f"{says / 1000 + 4:.1f} s in {file}"
    assert {way for _, way in over.ways} == {"done"}


@virtual_time
async def test_it_may_be_announced_and_both_sides_may_be_one(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("Speak")
        await line.caller.waits(0.5)
        await line.caller.says("I do", 2.0)

    told = "Your call, ${caller.number}, is recorded."
    steps = f"""
    - record: {{action: start, channels: 1, announce: "{told}"}}
    - say: Speak now.
    - wait: 4s
    - record: pause
    - record: {{action: start, announce: Never said again.}}
    - hangup: {{}}
    """
    over = await dial(library(tmp_path, flow(steps)), script, storage=tmp_path)
    assert over.heard == [told.replace("${caller.number}", over.line.facts.caller), "Speak now."]
    assert over.record.transcript[0].text == over.heard[0]
    with wave.open(str(recordings(tmp_path)[0])) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (1, 8000)
        both = sound.readframes(sound.getnframes())
    says = 60 * len("Speak now.")
    assert len(both) // 16 == says + 4000, "the announcement is not in it"
    assert (loud(both)[0][0], loud(both)[-1][1]) == (0, says + 2500)


@pytest.mark.parametrize("field", ["channels: 1", "announce: Hi"])
def test_how_it_is_recorded_is_said_at_its_start(tmp_path: Path, field: str) -> None:
    [said] = problems(tmp_path, f"- record: {{action: stop, {field}}}")
    assert f"'{field.partition(':')[0]}' belongs to start, not to stop" in said


@virtual_time
async def test_what_is_said_in_a_pause_is_not_kept(tmp_path: Path) -> None:
    steps = """
    - record: start
    - wait: 1s
    - record: pause
    - say: {text: Your secret is 42., loop: 3}
    - record: resume
    - wait: 2s
    - record: start
    - hangup: {}
    """
    over = await dial(library(tmp_path, flow(steps)), storage=tmp_path)
    [file] = recordings(tmp_path)
    engine = sides(file)[1]
    assert (len(engine) // 16, loud(engine)) == (3000, [])
    assert over.record.steps[0].detail.startswith("3.0 s in ")


@virtual_time
async def test_it_ends_with_the_call(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.says("Hello", 2.0)
        await line.caller.hangs_up()

    over = await dial(library(tmp_path, flow("- record: start\n- wait: 1m")), script, storage=tmp_path)
    [file] = recordings(tmp_path)
    assert len(sides(file)[0]) // 16 == 2000
    assert over.record.steps[0].detail.startswith("2.0 s in ")


@virtual_time
async def test_a_sensitive_step_is_not_recorded(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("PIN")
        await line.caller.says("1 2 3 4", 1.0)
        await line.caller.presses("1234#")

    steps = """
    - record: start
    - say: Welcome.
    - gather: {say: Your PIN., sensitive: true}
      catch: []
    - wait: 1s
    - hangup: {}
    """
    await dial(library(tmp_path, flow(steps)), script, storage=tmp_path)
    [file] = recordings(tmp_path)
    caller, engine = sides(file)
    says = 60 * len("Welcome.")
    assert len(caller) // 16 == says + 1000
    assert loud(caller) == []
    assert loud(engine)[-1][1] == says


@virtual_time
async def test_the_talk_with_a_person_is_missing_and_the_record_says_so(tmp_path: Path) -> None:
    steps = """
    - record: start
    - transfer: {attempts: [{targets: ["pjsip:desk"]}], after_callee_hangup: continue}
      catch: []
    - say: Goodbye.
    - hangup: {}
    """
    targets = {"pjsip:desk": {"answer": 2, "hangs_up_after": 600}}
    over = await dial(library(tmp_path, flow(steps)), targets=targets, storage=tmp_path)
    [file] = recordings(tmp_path)
    with wave.open(str(file)) as sound:
        assert 2 < sound.getnframes() / 8000 < 4
    assert loud(sides(file)[1])[-1][1] == sound.getnframes() // 8
    assert "without the talk with a person" in over.record.steps[0].detail


@virtual_time
async def test_one_call_may_have_several_recordings(tmp_path: Path) -> None:
    steps = "- repeat: {max: 3, steps: [{record: start}, {wait: 2s}, {record: stop}, {wait: 1s}]}"
    await dial(library(tmp_path, flow(steps)), storage=tmp_path)
    assert [len(sides(file)[0]) // 16 for file in recordings(tmp_path)] == [2000] * 3


@pytest.mark.parametrize("action", ["stop", "pause", "resume"])
@virtual_time
async def test_there_may_be_nothing_to_end(tmp_path: Path, action: str) -> None:
    over = await dial(library(tmp_path, flow(f"- record: {action}\n- stop: {{}}")), storage=tmp_path)
    assert over.ways == [("record", "done"), ("stop", "done")]
    assert over.record.steps[0].detail == "nothing is being recorded"
    assert over.record.answered is None


@virtual_time
async def test_a_disk_that_fails_leaves_the_call_alone(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("")
    over = await dial(library(tmp_path, flow("- record: start\n- wait: 5s\n- say: Fine.")), storage=tmp_path)
    assert over.heard == ["Fine."]
    assert "cannot be written" in over.record.steps[0].detail


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(tmp_path, '- record: begin\n- record: {}\n- hangup: {result: "${steps.a.file}"}')
    assert found[0] == "3:13: error[E203]: 'begin' is not one of 'start', 'stop', 'pause' or 'resume'"
    assert found[1] == "4:5: error[E202]: record needs 'action'"
