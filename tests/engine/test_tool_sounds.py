"""The sound that is played while a tool runs: `while_running: {play: …}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.audio import tone
from engine.http import HttpFailedError
from engine.virtual import Calls, Says, VirtualLine, Waits, virtual_time
from tests.engine.verbs.phone import Endpoints, Over, dial, flow, library, problems

KEYS = tone((700.0,), 1000, "ulaw")  # a second
STEPS = """
- id: talk
  converse:
    greeting: Hello.
    exits: {over: {}}
    tools:
      price:
        description: A price.
        http: {endpoint: pos, path: /price, timeout: 20s}
        timeout: 20s
        while_running: {play: {%s}, after: 500ms}
  outcomes: {silence: [], max_duration: [], provider_error: []}
"""
ASKS, SAYS = [Calls("price", {})], [Says("It is nine dollars."), Calls("finish", {"exit": "over"})]


async def asks(line: VirtualLine) -> None:
    await line.caller.hears("hello")
    await line.caller.says("What is it?", 1.0)


async def talk(
    folder: Path, answers: dict[str, Any], *replies: Any, sound: str = "file: keys.ulaw", script: Any = asks
) -> Over:
    house = library(folder, flow(STEPS % sound), files={"keys.ulaw": KEYS})
    return await dial(house, script, *replies, http=Endpoints(answers))


def sounds(over: Over, until: float = 1000.0) -> list[int]:
    """How long each sound without words was heard until then, in ms."""
    entries = over.line.log.find("heard", "cut")
    return [entry.ms for entry in entries if not entry.text and entry.ms and entry.at < until]


@pytest.mark.parametrize(("seconds", "heard"), [(0.4, 0), (1.0, 500), (5.0, 4500)])
@virtual_time
async def test_it_is_heard_from_its_time_until_the_tool_is_done(tmp_path: Path, seconds: float, heard: int) -> None:
    over = await talk(tmp_path, {"/price": (seconds, {"price": 9})}, ASKS, SAYS)
    assert sum(sounds(over)) == pytest.approx(heard, abs=60)
    assert over.heard == ["Hello.", "It is nine dollars."], "and nothing of the answer is cut off with it"
    assert over.record.steps[0].outcome == "over"


@virtual_time
async def test_it_stops_when_the_caller_speaks(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.waits(2.0)
        await line.caller.says("Hello?", 1.0)

    over = await talk(tmp_path, {"/price": (8.0, {})}, ASKS, [Says("One moment.")], SAYS, script=script)
    [spoke] = [entry for entry in over.line.log.find("said") if entry.text == "Hello?"]
    assert 0 < sum(sounds(over, spoke.at + 0.5)) < 3000
    assert "It is nine dollars." in over.heard


@virtual_time
async def test_it_stops_before_the_voice_speaks_and_takes_nothing_of_it_away(tmp_path: Path) -> None:
    replies = [Calls("price", {}), Waits(3.0), Says("I am still looking.")]
    over = await talk(tmp_path, {"/price": (9.0, {})}, replies, SAYS)
    assert over.heard == ["Hello.", "I am still looking.", "It is nine dollars."]
    [spoke] = [entry for entry in over.line.log.find("heard") if entry.text == "I am still looking."]
    assert sum(sounds(over, spoke.at)) == pytest.approx(2500, abs=500)


@virtual_time
async def test_it_takes_the_place_of_the_music_that_who_waits_hears(tmp_path: Path) -> None:
    house = library(tmp_path, flow((STEPS % "file: keys.ulaw").replace("500ms", "3s")), files={"keys.ulaw": KEYS})
    over = await dial(house, asks, ASKS, SAYS, http=Endpoints({"/price": (5.0, {})}))
    assert sounds(over) == [pytest.approx(1500, abs=300), 1000, pytest.approx(1000, abs=60)]


@virtual_time
async def test_two_tools_have_one_sound(tmp_path: Path) -> None:
    over = await talk(tmp_path, {"/price": (3.0, {})}, [Calls("price", {}), Calls("price", {})], SAYS)
    assert sum(sounds(over)) == pytest.approx(2500, abs=60)


@virtual_time
async def test_a_caller_who_hangs_up_meanwhile(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.waits(3.0)
        await line.caller.hangs_up()

    over = await talk(tmp_path, {"/price": (9.0, {})}, ASKS, script=script)
    assert over.record.outcome == "caller_hung_up"


class Shelf(Endpoints):
    """An endpoint that has no sounds."""

    async def fetch(self, *given: Any, **more: Any) -> bytes:
        raise HttpFailedError("pos answered 404 to GET", status=404)


@virtual_time
async def test_instead_of_a_sound_that_cannot_be_had_there_is_music_and_the_talk_goes_on(tmp_path: Path) -> None:
    house = library(tmp_path, flow(STEPS % "endpoint: pos, path: /keys.wav"))
    over = await dial(house, asks, ASKS, SAYS, http=Shelf({"/price": (3.0, {})}))
    assert (sounds(over), over.heard) == ([pytest.approx(1500, abs=300)], ["Hello.", "It is nine dollars."])


@virtual_time
async def test_a_prompt_of_the_resources_is_spoken(tmp_path: Path) -> None:
    over = await talk(tmp_path, {"/price": (3.0, {})}, ASKS, SAYS, sound="prompt: welcome")
    assert over.heard[:2] == ["Hello.", "Welcome to Bella's."]
    assert over.heard[-1] == "It is nine dollars."


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("{play: {file: gone.wav}}", "file 'gone.wav': not found"),
        ("{play: {prompt: gone}}", "unknown prompt 'gone'"),
        ("{play: {}}", "play needs exactly one of 'file', 'prompt' and 'endpoint'"),
        ("{}", "while_running needs exactly one of 'say' and 'play'"),
        ("{say: Hi, play: {prompt: welcome}}", "while_running needs exactly one of 'say' and 'play'"),
        ("{play: {file: broken.wav}}", "broken.wav"),
    ],
)
def test_what_the_check_says(tmp_path: Path, fields: str, told: str) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF?")
    steps = (STEPS % "prompt: welcome").replace("{play: {prompt: welcome}, after: 500ms}", fields)
    assert told in "\n".join(problems(tmp_path, steps))
