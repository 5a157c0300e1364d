"""What is kept of a real call: messages, and recordings of both sides."""

from __future__ import annotations

import array
import audioop
import wave
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from company import TEAMS, Open

from asterisk.recording import Track

pytestmark = pytest.mark.asterisk

MESSAGE = "Please call me back. It is about the blue bicycle in your window."


def track(file: Path | str, side: int | None = None) -> Track:
    """A file that the engine wrote, or one side of it."""
    with wave.open(str(file)) as sound:
        pcm = sound.readframes(sound.getnframes())
    if side is not None:
        pcm = audioop.tomono(pcm, 2, float(side == 0), float(side == 1))
    return Track(array.array("h", pcm))


@pytest.mark.parametrize("end", ["hash", "silence", "hangup"])
async def test_a_caller_leaves_a_message(open_company: Open, tmp_path: Path, end: str) -> None:
    flow = """
        vars: {file: {type: string, default: ""}}
        handlers: [{event: hangup, steps: [{set: {file: "${steps.note.file}"}}]}]
        steps:
          - say: Please leave a message.
          - id: note
            voicemail: {box: sales, silence: 2s}
            outcomes: {empty: [{hangup: {result: empty}}]}
          - hangup: {result: "${steps.note.outcome}"}
    """
    async with open_company(flow, storage=tmp_path / "kept") as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.hears_nothing()
        call = await house.live(caller)
        await caller.says(MESSAGE)
        if end == "hash":
            await caller.presses("#")
        elif end == "hangup":
            await caller.hangs_up()
        record = await house.ended(caller)
        said, _ = await caller.recording()
    [file] = (tmp_path / "kept/voicemail/sales").iterdir()
    assert call.walker.vars["file"] == str(file)
    assert record.result == ("" if end == "hangup" else "done")
    kept = track(file)
    start, stop = said.bursts(0.5)[0][0], said.bursts(0.5)[-1][1]
    heard = kept.bursts(0.5)
    assert heard[-1][1] - heard[0][0] == pytest.approx(stop - start, abs=0.4)
    assert kept.seconds - heard[-1][1] < 0.8, "the silence at the end is cut off"


async def test_who_says_nothing_leaves_nothing(open_company: Open, tmp_path: Path) -> None:
    flow = """
        steps:
          - voicemail: {box: sales, silence: 1500ms}
            outcomes: {empty: [{hangup: {result: empty}}]}
    """
    async with open_company(flow, storage=tmp_path / "kept") as house:
        caller = await house.call()
        record = await house.ended(caller)
    assert record.result == "empty"
    assert not (tmp_path / "kept").exists()


async def test_both_sides_are_recorded_and_pauses_are_not(open_company: Open, tmp_path: Path) -> None:
    flow = """
        steps:
          - id: kept
            record: start
          - say: Good morning. This is the first sentence.
          - wait_for: {event: speech, timeout: 5s}
            catch: []
          - wait: 2s
          - record: pause
          - say: And this one is nobody's business at all.
          - record: resume
          - say: Goodbye.
          - hangup: {result: "${steps.kept.file}"}
    """
    async with open_company(flow, storage=tmp_path / "kept") as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.sounds(700, 1.0)
        record = await house.ended(caller)
        said, heard = await caller.recording()
    assert Path(record.result).parent == tmp_path / "kept/recordings"
    left, right = track(record.result, 0), track(record.result, 1)
    assert left.bursts(0.3)[0][1] - left.bursts(0.3)[0][0] == pytest.approx(1.0, abs=0.15)
    assert left.bursts(0.3)[0][0] - right.bursts(0.3)[0][0] == pytest.approx(
        said.bursts(0.3)[0][0] - heard.bursts(0.3)[0][0], abs=0.3
    ), "both sides keep their distance"
    spoken = sum(stop - start for start, stop in heard.bursts(0.3))
    kept = sum(stop - start for start, stop in right.bursts(0.3))
    assert spoken - kept > 1.5, "the sentence in the pause is missing"
    assert f"{left.seconds:.1f} s in {record.result}" == record.steps[0].detail


async def test_it_is_announced_and_both_sides_are_in_one_channel(open_company: Open, tmp_path: Path) -> None:
    flow = """
        steps:
          - id: kept
            record: {action: start, channels: 1, announce: This call is recorded for the training of our staff.}
          - say: What may it be?
          - wait_for: {event: speech, timeout: 5s}
            catch: []
          - wait: 2s
          - hangup: {result: "${steps.kept.file}"}
    """
    async with open_company(flow, storage=tmp_path / "kept") as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.sounds(700, 1.0)
        record = await house.ended(caller)
        _, heard = await caller.recording()
    with wave.open(record.result) as sound:
        assert sound.getnchannels() == 1
    kept = track(record.result)
    spoken = sum(stop - start for start, stop in heard.bursts(0.3))
    assert kept.bursts(0.3)[-1][1] - kept.bursts(0.3)[-1][0] == pytest.approx(1.0, abs=0.15), "the caller is in it"
    assert spoken - sum(stop - start for start, stop in kept.bursts(0.3)[:-1]) > 1.5, "the announcement is not in it"


async def test_the_talk_with_a_person_is_missing_and_the_record_says_so(open_company: Open, tmp_path: Path) -> None:
    flow = f"""
        steps:
          - id: kept
            record: start
          - say: One moment please.
          - transfer:
              attempts: [{{targets: ["tel:{TEAMS}"], timeout: 10s}}]
            outcomes: {{failed: [{{hangup: {{result: nobody}}}}]}}
    """
    async with open_company(flow, storage=tmp_path / "kept") as house:
        caller = await house.call()
        await house.connected(caller)
        await caller.sounds(700, 1.5)
        await caller.hangs_up()
        record = await house.ended(caller)
    [file] = (tmp_path / "kept/recordings").iterdir()
    left, right = track(file, 0), track(file, 1)
    assert right.bursts(0.3), "what the engine said before"
    assert left.bursts(0.1) == [], "what the caller said to the person"
    assert left.seconds < 6
    assert record.outcome == "handed_off"
    assert record.steps[0].detail.endswith("; without the talk with a person, whose audio does not pass the engine")


async def test_a_mailbox_greets_and_tells_the_company_of_the_message(open_company: Open, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        told.append({"path": request.path, **await request.json()})
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/{where}", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    resources = f"""
        endpoints: {{crm: {{base_url: "{base}/crm"}}, sms: {{base_url: "{base}/sms"}}}}
        mailboxes: {{sales: {{greeting: Please leave a message., notify: [crm, "+12125550111"]}}}}
    """
    flow = "steps: [{voicemail: {box: sales, silence: 2s}}, {hangup: {}}]"
    try:
        async with open_company(flow, files={"resources.yaml": resources}, storage=tmp_path / "kept") as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says(MESSAGE)
            await caller.hangs_up()
            record = await house.ended(caller)
    finally:
        await runner.cleanup()
    [file] = (tmp_path / "kept/voicemail/sales").iterdir()
    posted = {entry["path"]: entry for entry in told}
    assert (posted["/crm"]["file"], posted["/crm"]["call"]) == (file.name, record.id)
    assert posted["/crm"]["seconds"] == pytest.approx(track(file).seconds, abs=0.1)
    assert posted["/sms"]["text"].endswith(f"for sales from {record.caller}.")
