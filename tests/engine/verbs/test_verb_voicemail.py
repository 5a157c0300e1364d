from __future__ import annotations

import asyncio
import re
import stat
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.line import LineGone
from engine.outcome import Outcome
from engine.verbs.voicemail import _left_behind
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems

STEPS = """
- id: note
  voicemail: {box: sales, max: 20s, silence: 3s}
  outcomes: {empty: [{say: Nothing heard.}]}
- hangup: {result: "${steps.note.ms}"}
"""


def seconds(file: Path | str) -> float:
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (8000, 2, 1)
        return sound.getnframes() / 8000


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "voicemail" in path.parts)


def leaves(*doing: tuple[str, float | str]):  # type: ignore[no-untyped-def]
    """A caller who says, waits, presses or hangs up, once the beep was heard."""

    async def script(line: VirtualLine) -> None:
        beep = await line.log.until("heard", who="caller")
        assert (beep.text, beep.ms) == ("", 400)
        for what, how in doing:
            if what == "says":
                await line.caller.says("A message", float(how))
            elif what == "waits":
                await line.caller.waits(float(how))
            elif what == "presses":
                await line.caller.presses(str(how))
            else:
                await line.caller.hangs_up()

    return script


@pytest.mark.parametrize(
    ("doing", "length", "lasts"),
    [
        ((("says", 5.0),), 5.0, 8.4),  # silence ends it
        ((("waits", 1.0), ("says", 5.0), ("presses", "1#")), 5.0, 6.7),
        ((("says", 4.0), ("waits", 2.0), ("says", 4.0)), 8.0, 13.4),
        ((("says", 40.0),), 20.0, 20.4),
    ],
    ids=["silence", "hash", "a pause", "too long"],
)
@virtual_time
async def test_a_message_is_kept(tmp_path: Path, doing: tuple[tuple[str, float]], length: float, lasts: float) -> None:
    house = library(tmp_path, flow(STEPS))
    over = await dial(house, leaves(*doing), storage=tmp_path / "var")
    [file] = files(tmp_path)
    assert seconds(file) == pytest.approx(length, abs=0.1)
    assert over.record.result == str(round(seconds(file) * 1000))
    assert over.record.steps[0].ms == pytest.approx(lasts * 1000, abs=100)
    assert over.ways[0] == ("voicemail", "done")
    assert str(file) in over.record.steps[0].detail
    assert file.parent == tmp_path / "var/voicemail/sales"
    assert re.fullmatch(r"20260105T0900\d\dZ-call-1-1\.wav", file.name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@virtual_time
async def test_who_hangs_up_has_left_a_message_too(tmp_path: Path) -> None:
    head = """
    vars: {where: {type: string}}
    handlers: [{event: hangup, steps: [{set: {where: "${steps.note.file}"}}]}]
    """
    house = library(tmp_path, flow(STEPS, head=head))
    over = await dial(house, leaves(("says", 5.0), ("hangs up", "")), storage=tmp_path / "var")
    [file] = files(tmp_path)
    assert seconds(file) == pytest.approx(5.0, abs=0.1)
    assert over.ways == [("voicemail", "cancelled"), ("set", "done")]
    assert over.call.walker.vars["where"] == str(file)
    assert over.record.steps[0].detail == f"{seconds(file):.1f} s in {file}"


@pytest.mark.parametrize(("then", "ends"), [("waits", "empty"), ("presses", "empty"), ("hangs up", "cancelled")])
@virtual_time
async def test_nothing_is_kept_of_who_says_nothing(tmp_path: Path, then: str, ends: str) -> None:
    over = await dial(library(tmp_path, flow(STEPS)), leaves((then, "#" if then == "presses" else 1.0)),
                      storage=tmp_path / "var")  # fmt: skip
    assert over.ways[0] == ("voicemail", ends)
    assert files(tmp_path) == []
    assert over.heard == (["Nothing heard."] if ends == "empty" else [])


@virtual_time
async def test_a_disk_that_fails_is_an_error_of_the_step(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    steps = STEPS.replace("outcomes:", "catch: [{say: Call again.}]\n  outcomes:")
    over = await dial(library(tmp_path, flow(steps)), leaves(("says", 5.0)), storage=tmp_path / "var")
    assert over.heard == ["Call again."]
    assert "cannot be kept" in over.record.steps[0].detail
    over = await dial(library(tmp_path, flow(steps)), leaves(("says", 5.0), ("hangs up", "")), storage=tmp_path / "var")
    assert over.ways == [("voicemail", "cancelled")]


@virtual_time
async def test_two_messages_of_a_call_are_two_files(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        for _ in range(2):
            await line.log.until("answered", "heard", who="caller")
            await line.caller.waits(0.5)
            await line.caller.says("Hi", 2.0)
            await line.caller.presses("#")

    steps = "- repeat: {max: 2, steps: [{voicemail: {box: a, beep: false}}, {wait: 1s}, {say: Again.}]}"
    await dial(library(tmp_path, flow(steps)), script, storage=tmp_path / "var")
    assert [seconds(file) for file in files(tmp_path)] == [pytest.approx(2.0, abs=0.1)] * 2


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - voicemail: sales
        - voicemail: ../../etc
        - voicemail: {box: a, max: 31m}
        - voicemail: {box: a, silence: 0s, beep: maybe}
        - voicemail: {}
        """,
    )
    assert found == [
        "4:16: error[E203]: 'box': a box has 1 to 64 letters, digits, '_' and '-'",
        "5:30: error[E203]: 'max': it must be more than nothing and 30m at most",
        "6:34: error[E203]: 'silence': it must be more than nothing and 30m at most",
        "6:44: error[E203]: 'beep' must be true or false",
        "7:5: error[E202]: voicemail needs 'box'",
    ]


@virtual_time
async def test_keys_that_end_before_the_call_cost_no_message(tmp_path: Path) -> None:
    """Whoever waits for a key may be the first to learn that the caller is gone."""

    class Line(VirtualLine):
        async def digit(self) -> str:
            await asyncio.sleep(6)
            raise LineGone("the caller is not there any more")

    house = library(tmp_path, flow(STEPS))
    over = await dial(house, leaves(("says", 5.0), ("waits", 5.0)), line=Line(), storage=tmp_path)
    [file] = files(tmp_path)
    assert seconds(file) == 5.0
    assert over.ways == [("voicemail", "cancelled")]


async def test_a_disk_that_does_not_answer_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.verbs.voicemail.CLOSE_WITHIN", 0.05)
    answers: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def hangs(*given: Any) -> Outcome:
        return await answers

    monkeypatch.setattr("engine.verbs.voicemail._left", hangs)
    trace = SimpleNamespace(detail="")
    given: Any = SimpleNamespace(record=SimpleNamespace(steps=[trace]))
    async with asyncio.timeout(5):
        await _left_behind(given, given, given, given)
    assert trace.detail == "not written within 0.05 s"
    answers.set_result(Outcome(detail="late"))
