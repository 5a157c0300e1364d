"""`play` of a sound that an endpoint of the company has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from engine.audio import decode, encode
from engine.http import Http, HttpFailedError
from engine.sounds import MAX_KEPT, MAX_SOUND, Sounds
from engine.virtual import virtual_time
from engine.virtual.words import spoken
from flows.resources import Endpoint
from tests.engine.verbs.phone import dial, flow, library, problems
from tests.engine.verbs.test_verb_play import wav

POS = Endpoint("pos", "https://pos.example/api")


class Shelf(Http):
    """An endpoint with one answer for every path: a sound, an exception; it takes a second."""

    def __init__(self, answer: bytes | Exception) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[str] = []
        self.limits: list[float | None] = []

    async def fetch(self, endpoint: Endpoint, path: str, most: int, *, timeout: float | None = None) -> bytes:
        self.asked.append(f"{endpoint.name} {path}")
        self.limits.append(timeout)
        assert most == MAX_SOUND
        await asyncio.sleep(1)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


OUTSIDE = "https://cdn.example:8443/hold/x.wav?v=2"
INSTEAD = (
    "write 'endpoint: NAME, path: \"/hold/x.wav?v=2\"', and in resources.yaml "
    "'endpoints: {NAME: {base_url: \"https://cdn.example:8443\"}}'"
)


WHOLE = f"error[E203]: a path is below the address of its endpoint, and this is a whole one: {INSTEAD}"
NO_FILE = "error[E306]: file 'welcome': not found; a prompt of resources.yaml is played by 'prompt: welcome'"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (f"play: {{url: '{OUTSIDE}'}}", f"3:12: error[E201]: unknown key 'url': {INSTEAD}"),
        (f"play: {OUTSIDE}", f"3:11: error[E306]: '{OUTSIDE}' is an address, not a file: {INSTEAD}"),
        (f"play: {{file: '{OUTSIDE}'}}", f"3:18: error[E306]: '{OUTSIDE}' is an address, not a file: {INSTEAD}"),
        (f"play: {{endpoint: pos, path: '{OUTSIDE}'}}", f"3:33: {WHOLE}"),
        (
            f"play: {{endpoint: '{OUTSIDE}', path: /x}}",
            f"3:22: error[E302]: unknown endpoint '{OUTSIDE}': an endpoint is",
        ),
        ("play: {url: x.wav}", "3:12: error[E201]: unknown key 'url': write 'endpoint: NAME, path: \"/…\"'"),
        ("play: {url: 'https://[x'}", "3:12: error[E201]: unknown key 'url': write 'endpoint: NAME, path: \"/…\"'"),
        ("play: {url: 'https://me:secret@cdn.example'}", '{base_url: "https://cdn.example"}'),
        ("play: welcome", f"3:11: {NO_FILE}"),
        ("play: {text: Hello.}", "3:12: error[E201]: unknown key 'text': 'say' speaks a text"),
        (f"http: {{endpoint: pos, path: '{OUTSIDE}'}}", f"3:33: {WHOLE}"),
        (f"event: {{endpoint: pos, name: a, path: '{OUTSIDE}'}}", f"3:43: {WHOLE}"),
        (f"sms: {{endpoint: pos, to: '+14155550111', text: a, path: '{OUTSIDE}'}}", WHOLE),
        (f"event: {{url: '{OUTSIDE}', endpoint: pos, name: a}}", f"3:13: error[E201]: unknown key 'url': {INSTEAD}"),
    ],
)
def test_who_writes_an_address_is_told_what_to_write_instead(tmp_path: Path, step: str, said: str) -> None:
    [problem] = problems(tmp_path, f"- {step}\n  catch: []")
    assert said in problem


@pytest.mark.parametrize("key", ["file", "url", "prompt"])
def test_who_lets_say_play_something_is_told_of_play(tmp_path: Path, key: str) -> None:
    needs, problem = problems(tmp_path, f"- say: {{{key}: welcome}}")
    assert needs.endswith("error[E202]: say needs 'text'")
    assert f"unknown key '{key}': 'say' speaks a text; 'play' is for files, prompts and sounds of endpoints" in problem


STEPS = """
- play: {endpoint: pos, path: "/menus/${caller.number}.wav?v=1"}
  outcomes: {http_error: [{say: Not there.}], timeout: [{say: Too late.}]}
"""


@virtual_time
async def test_a_sound_is_fetched_once_and_played_to_its_end(tmp_path: Path) -> None:
    shelf = Shelf(wav())
    steps = f"- repeat:\n    max: 3\n    steps:\n{indent(STEPS.strip(), '      ')}"
    house = library(tmp_path, flow(steps))
    over = await dial(house, http=shelf)
    assert [entry.ms for entry in over.line.log.find("heard")] == [2000] * 3
    assert shelf.asked == ["pos /menus/%2B14155550199.wav?v=1"]


@virtual_time
async def test_it_is_asked_for_again_when_it_is_old(tmp_path: Path) -> None:
    shelf = Shelf(spoken("Soup of the day", 2000))
    step = "{play: {endpoint: pos, path: /soup.ulaw, keep: 10s}, catch: []}"
    house = library(tmp_path, flow(f"- repeat: {{max: 3, steps: [{step}, {{wait: 3s}}]}}"))
    over = await dial(house, http=shelf)
    assert over.heard == ["Soup of the day"] * 3
    assert [entry.at for entry in over.line.log.find("heard")] == [3.0, 8.0, 14.0]
    assert len(shelf.asked) == 2


@pytest.mark.parametrize(
    ("answer", "ends", "heard", "says"),
    [
        (HttpFailedError("pos answered 404 to GET", status=404), "http_error", "Not there.", "404"),
        (HttpFailedError("pos did not answer", kind="timeout"), "timeout", "Too late.", "did not answer"),
        (b"<html>", "http_error", "Not there.", "is not a WAV file"),
        (wav(16_000), "http_error", "Not there.", "has 16000 Hz"),
    ],
)
@virtual_time
async def test_what_cannot_be_played_leads_where_the_flow_says(
    tmp_path: Path, answer: Any, ends: str, heard: str, says: str
) -> None:
    over = await dial(library(tmp_path, flow(STEPS)), http=Shelf(answer))
    assert over.ways[0] == ("play", ends)
    assert over.heard == [heard]
    assert says in over.record.steps[0].detail


@virtual_time
async def test_a_law_has_its_own_copy_and_memory_is_bounded() -> None:
    sounds, shelf = Sounds(), Shelf(bytes(MAX_SOUND))
    get = sounds.get
    for number in range(15):
        await get(shelf, POS, f"/{number}.ulaw", "ulaw", keep=1000)
    assert sounds._size == sum(len(audio) for _, audio in sounds._kept.values()) <= MAX_KEPT
    await get(shelf, POS, "/14.ulaw", "ulaw", keep=1000)
    assert len(shelf.asked) == 15
    await get(shelf, POS, "/0.ulaw", "ulaw", keep=1000)
    assert len(shelf.asked) == 16, "the oldest had to go"
    shelf.answer = b"\x10" * 800
    assert await get(shelf, POS, "/14.ulaw", "alaw", keep=1000) == encode(decode(b"\x10" * 800, "ulaw"), "alaw")


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - play: {endpoint: pos}
        - play: {endpoint: pos, path: /a.wav, prompt: welcome}
        - play: {endpoint: poss, path: "/${vars.pin}.wav"}
          catch: []
        - play: {endpoint: pos, path: /a.wav}
          catch: []
        - play: {prompt: welcome}
          outcomes: {http_error: []}
        """,
        head="vars: {pin: {type: string, sensitive: true}}",
    )
    assert [line.split(";")[0] for line in found] == [
        "4:12: error[E203]: 'endpoint' and 'path' belong together",
        "5:12: error[E203]: play needs exactly one of 'file', 'prompt' and 'endpoint'",
        "6:22: error[E302]: unknown endpoint 'poss' (did you mean 'pos'?)",
        "6:38: error[E203]: 'vars.pin' is sensitive and must not leave in a URL",
        "11:16: error[E303]: play has no outcome 'http_error' (has: interrupted)",
    ]
    [warning] = problems(tmp_path, "- play: {endpoint: pos, path: /a.wav}")
    assert "play may end with http_error, timeout" in warning
