"""say, play, menu and gather over a real line: what the caller hears, presses, and where the flow then goes."""

from __future__ import annotations

import array
import math
import struct
import wave
from io import BytesIO

import pytest
from company import Open, until
from hearing import seconds_of_tone

pytestmark = pytest.mark.asterisk

LONG = "This is a long announcement, and nobody who calls here every day wants to hear it to its end once more."


def tone_wav(hertz: float, seconds: float) -> bytes:
    """A WAV file as `play` takes it."""
    samples = array.array("h", (int(8000 * math.sin(math.tau * hertz * n / 8000)) for n in range(int(8000 * seconds))))
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return file.getvalue()


async def test_say_is_heard_to_its_end(open_company: Open) -> None:
    flow = """
        steps:
          - say: "Good morning, ${caller.number} calls ${call.did}."
          - hangup: {result: greeted}
    """
    async with open_company(flow) as house:
        caller = await house.call(caller="+12125550177")
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert (record.outcome, record.hangup_by, record.result, record.cause) == ("completed", "flow", "greeted", 16)
    assert record.transcript[0].text == "Good morning, +12125550177 calls +12125550100."
    start, end = heard.bursts(1.0)[0]
    assert end - start > 4, "both numbers are read out"
    assert heard.seconds - end < 0.6
    assert abs((record.steps[0].ms or 0) / 1000 - heard.seconds) < 0.5


async def test_a_key_interrupts_say_and_stays_for_the_menu(open_company: Open) -> None:
    flow = f"""
        steps:
          - id: long
            say: {{text: "{LONG}", interruptible: dtmf}}
          - id: choice
            menu: {{say: Press one or two.}}
            outcomes:
              "1": [{{hangup: {{result: "${{steps.long.outcome}}, then one"}}}}]
              "2": [{{hangup: {{result: "${{steps.long.outcome}}, then two"}}}}]
              no_input: []
              no_match: []
          - hangup: {{result: nothing}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.presses("2")
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.result == "interrupted, then two"
    assert heard.seconds < 2.5, "the announcement alone takes six seconds"


async def test_speech_interrupts_say(open_company: Open) -> None:
    flow = f"""
        steps:
          - id: long
            say: {{text: "{LONG}", interruptible: speech}}
          - hangup: {{result: "${{steps.long.outcome}}"}}
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.says("Yes, I know that.", wait=False)
        record = await house.ended(caller)
    assert record.result == "interrupted"


async def test_play_plays_files_and_prompts(open_company: Open) -> None:
    flow = """
        steps:
          - play: {file: first.wav, loop: 2}
          - play: {prompt: second}
          - hangup: {}
    """
    files = {
        "first.wav": tone_wav(500, 0.5),
        "second.wav": tone_wav(900, 0.7),
        "resources.yaml": "prompts: {second: {file: second.wav}}",
    }
    async with open_company(flow, files=files) as house:
        caller = await house.call()
        record = await house.ended(caller)
        _, heard = await caller.recording()
    assert record.outcome == "completed"
    assert seconds_of_tone(heard, 500) == pytest.approx(1.0, abs=0.25)
    assert seconds_of_tone(heard, 900) == pytest.approx(0.7, abs=0.25)


MENU = """
    steps:
      - id: choice
        menu: {say: One or two., timeout: 1s, retries: 1}
        outcomes:
          "1": [{hangup: {result: one}}]
          "2": [{hangup: {result: two}}]
          no_input: [{hangup: {result: silent}}]
          no_match: [{hangup: {result: "wrong key ${steps.choice.key}"}}]
"""


@pytest.mark.parametrize(
    ("keys", "result", "asked"),
    [("1", "one", 1), ("92", "two", 2), ("99", "wrong key 9", 2), ("", "silent", 2)],
    ids=["a key", "a wrong key first", "wrong keys only", "no key"],
)
async def test_menu(open_company: Open, keys: str, result: str, asked: int) -> None:
    async with open_company(MENU) as house:
        caller = await house.call()
        await caller.hears_something()
        if keys:
            await caller.presses(keys)
        record = await house.ended(caller)
    assert record.result == result
    assert [entry.text for entry in record.transcript] == ["One or two."] * asked


GATHER = """
    steps:
      - id: number
        gather: {say: Your number., digits: 4, least: 3, finish_key: "#", timeout: 1s, inter_digit: 700ms, retries: 0}
        outcomes:
          no_input: [{hangup: {result: nothing}}]
          no_match: [{hangup: {result: "too few: ${steps.number.digits}"}}]
      - hangup: {result: "${steps.number.digits}"}
"""


@pytest.mark.parametrize(
    ("keys", "result"),
    [
        ("1234567", "1234"),
        ("123#", "123"),
        ("123", "123"),
        ("12#", "too few: 12"),
        ("12", "too few: 12"),
        ("", "nothing"),
    ],
    ids=["all", "finish key", "a pause", "too few by key", "too few by pause", "none"],
)
async def test_gather(open_company: Open, keys: str, result: str) -> None:
    async with open_company(GATHER) as house:
        caller = await house.call()
        await caller.hears_something()
        if keys:
            await caller.presses(keys)
        record = await house.ended(caller)
    assert record.result == result


async def test_a_key_of_a_handler_leads_away_from_an_announcement_but_not_from_a_menu(open_company: Open) -> None:
    flow = f"""
        handlers: [{{event: dtmf, digits: "0", goto: desk}}]
        steps:
          - menu: {{say: Press zero., timeout: 2s}}
            outcomes: {{"0": [], no_input: [], no_match: []}}
          - say: "{LONG}"
          - hangup: {{result: heard it all}}
        sections:
          desk: [{{hangup: {{result: desk}}}}]
    """
    async with open_company(flow) as house:
        caller = await house.call()
        await caller.hears_something()
        await caller.presses("0")
        await until(lambda: len(house.record(caller).steps) > 1, "the announcement")
        await caller.presses("0")
        record = await house.ended(caller)
    assert record.result == "desk"
    assert record.steps[0].outcome == "0"
