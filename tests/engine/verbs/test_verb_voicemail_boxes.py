"""Mailboxes of resources.yaml, and who is told of a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.audio import tone
from engine.http import HttpFailedError
from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import Endpoints, Over, dial, flow, library, load

RESOURCES = """
endpoints:
  pos: {base_url: "https://pos.example/api"}
  sms: {base_url: "https://sms.example"}
destinations: {ada: "tel:+14155550111", desk: "pjsip:desk"}
groups: {oncall: [ada, "+14155550122"]}
mailboxes:
  sales:
    greeting: Please leave a message for sales.
    max: 4s
    notify: [pos, "group:oncall"]
    language: en-US
  jobs: {greeting: {file: jobs.ulaw}}
  plain: {}
"""
JOBS = tone((500.0,), 1000, "ulaw")
Files = dict[str, str | bytes]


async def speaks(line: VirtualLine) -> None:
    """Somebody who waits for the tone and speaks for 3 s."""
    while (await line.log.until("heard", who="caller")).ms != 400:
        pass
    await line.caller.says("Hello", 3.0)


async def leave(
    folder: Path, fields: str, script: Any = speaks, answer: Any = None, resources: str = RESOURCES
) -> tuple[Over, Endpoints]:
    files: Files = {"resources.yaml": resources, "jobs.ulaw": JOBS}
    steps = f"- id: note\n  voicemail: {fields}\n  catch: [{{hangup: {{result: caught}}}}]\n- hangup: {{}}"
    http = Endpoints({"": answer})
    over = await dial(library(folder, flow(steps), files=files), script, http=http, storage=folder)
    return over, http


def messages(folder: Path, box: str) -> list[Path]:
    return list(folder.glob(f"voicemail/{box}/*.wav"))


@virtual_time
async def test_a_box_greets_and_tells_systems_and_people(tmp_path: Path) -> None:
    over, http = await leave(tmp_path, "sales")
    assert over.heard == ["Please leave a message for sales."]
    [posted] = [one["json"] for one in http.asked if one["endpoint"] == "pos"]
    [file] = messages(tmp_path, "sales")
    assert posted == {
        "id": "call-1-0", "box": "sales", "seconds": 3.0, "caller": "+14155550199", "file": file.name, "call": "call-1",
        "flow": "test",
    }  # fmt: skip
    texts = {one["json"]["to"]: one["json"]["text"] for one in http.asked if one["endpoint"] == "sms"}
    words = "New message of 3 s for sales from +14155550199."
    assert texts == {"+14155550111": words, "+14155550122": words}
    assert len({one["idempotency_key"] for one in http.asked}) == 3
    assert over.record.steps[0].detail == f"3.0 s in {file}"


@virtual_time
async def test_the_caller_who_hangs_up_has_told_them_too(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await speaks(line)
        await line.caller.hangs_up()

    over, http = await leave(tmp_path, "sales", script)
    assert over.record.outcome == "caller_hung_up"
    assert sorted(one["endpoint"] for one in http.asked) == ["pos", "sms", "sms"]
    assert "3.0 s in" in over.record.steps[0].detail


@virtual_time
async def test_nobody_is_told_of_nothing(tmp_path: Path) -> None:
    over, http = await leave(tmp_path, "sales", None)
    assert (over.record.steps[0].outcome, http.asked) == ("empty", [])


@virtual_time
async def test_the_step_wins_over_its_box(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("heard", text="sales")
        await line.caller.says("Hello", 9.0)

    over, http = await leave(tmp_path, '{box: sales, max: 6s, notify: "+14155550133"}', script)
    assert over.call.walker.steps["note"]["ms"] == pytest.approx(6000, abs=700)
    assert [one["json"]["to"] for one in http.asked] == ["+14155550133"]


@virtual_time
async def test_the_longest_message_of_a_box(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("heard", text="sales")
        await line.caller.says("Hello", 9.0)

    over, _ = await leave(tmp_path, "sales", script)
    assert over.call.walker.steps["note"]["ms"] == pytest.approx(4000, abs=100)


@virtual_time
async def test_a_greeting_may_be_a_file_and_a_key_skips_it(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        await line.caller.presses("#")
        await line.log.until("heard", who="caller")
        await line.caller.says("Hello", 2.0)

    over, http = await leave(tmp_path, "jobs", script)
    assert [(entry.what, entry.ms) for entry in over.line.log.find("heard", "cut")][:2] == [
        ("cut", 500),
        ("heard", 400),
    ]
    assert over.record.steps[0].outcome == "done", "the key did not end the message"
    assert http.asked == []


@pytest.mark.parametrize("fails", [HttpFailedError("pos answered 500 to POST", status=500)])
@virtual_time
async def test_who_was_not_told_stands_in_the_trace(tmp_path: Path, fails: Exception) -> None:
    over, _ = await leave(tmp_path, "sales", answer=fails)
    detail = over.record.steps[0].detail
    assert over.record.steps[0].outcome == "done"
    assert "; pos was not told: pos answered 500 to POST" in detail
    assert "; sms was not told: 2 of 2: pos answered 500 to POST" in detail


@virtual_time
async def test_the_step_does_not_wait_for_it(tmp_path: Path) -> None:
    over, http = await leave(tmp_path, "sales", answer=(5.0, None))
    assert over.record.ended == over.record.steps[-1].started
    assert len(http.asked) == 3
    assert "not told" not in over.record.steps[0].detail


@virtual_time
async def test_without_a_list_of_boxes_any_name_is_one(tmp_path: Path) -> None:
    over, _ = await leave(tmp_path, "anything", resources=RESOURCES.split("mailboxes:")[0])
    assert over.record.steps[0].outcome == "done"
    assert len(messages(tmp_path, "anything")) == 1


def said(folder: Path, fields: str, resources: str = RESOURCES) -> str:
    steps = flow(f"- voicemail: {fields}\n  catch: []")
    found = load(folder, steps, files={"resources.yaml": resources, "jobs.ulaw": JOBS}).problems
    return "\n".join(str(problem).removeprefix(f"{folder}/") for problem in found)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("sale", "0.flow.yaml:3:16: error[E302]: unknown mailbox 'sale' (did you mean 'sales'?)"),
        ("{box: sales, notify: [ps]}", "unknown destination 'ps'"),
        ("{box: sales, notify: ['group:oncal']}", "unknown group 'oncal' (did you mean 'oncall'?)"),
        ("{box: sales, notify: [desk]}", "the destination 'desk' is no telephone number"),
        ("{box: plain}", ""),
    ],
)
def test_what_the_check_says_of_a_step(tmp_path: Path, fields: str, told: str) -> None:
    found = said(tmp_path, fields)
    assert told in found
    assert bool(told) == bool(found)


def test_people_need_a_gateway(tmp_path: Path) -> None:
    without = RESOURCES.replace('  sms: {base_url: "https://sms.example"}\n', "")
    found = said(tmp_path, "sales", without)
    assert "0.flow.yaml:3:16: error[E302]: who is told by SMS needs the endpoint 'sms'" in found
    assert said(tmp_path, "{box: sales, notify: [pos]}", without) == ""


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ("a: {greting: Hi}", "resources.yaml:2:7: error[E201]: unknown key 'greting' (did you mean 'greeting'?)"),
        ("a: Hi", "mailbox 'a' is a mapping"),
        ("a/b: {}", "'a/b' is no mailbox"),
        ("a: {max: 31m}", "30m at most"),
        ("a: {max: 5}", "5 is not a duration"),
        ("a: {notify: nobody}", "error[E302]: unknown endpoint, group or destination 'nobody'"),
        ("a: {notify: [1]}", "'notify' is a list"),
        ("a: {language: 'en US'}", "BCP 47"),
        ("a: {greeting: {file: gone.wav}}", "file 'gone.wav': not found"),
        ("a: {greeting: {}}", "needs either a 'text' or a 'file'"),
    ],
)
def test_what_the_check_says_of_a_box(tmp_path: Path, box: str, told: str) -> None:
    assert told in said(tmp_path, "a", f"mailboxes:\n  {box}\n")


def test_a_greeting_that_no_telephone_can_play(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF?")
    found = said(tmp_path, "a", "mailboxes: {a: {greeting: {file: broken.wav}}}\n")
    assert "error[E306]: the greeting of the mailbox" in found
