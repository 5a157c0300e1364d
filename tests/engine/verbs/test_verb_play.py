from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest

from engine.audio import decode, encode
from engine.virtual import VirtualLine, virtual_time
from engine.virtual.words import spoken
from tests.engine.verbs.phone import RESOURCES, dial, flow, library, load, problems
from tests.engine.verbs.test_verb_say import Speaker, speaking

SOUND = spoken("A recorded word", 2000)


def wav(rate: int = 8000, audio: bytes = SOUND) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(decode(audio, "ulaw"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"), [("a.ulaw", SOUND), ("a.wav", wav()), ("a.alaw", encode(decode(SOUND, "ulaw"), "alaw"))]
)
@virtual_time
async def test_a_file_is_played_to_its_end(tmp_path: Path, name: str, content: bytes) -> None:
    house = library(tmp_path, flow(f"- play: sounds/{name}\n- stop: {{}}"), files={f"sounds/{name}": content})
    over = await dial(house)
    assert [(entry.what, entry.ms, entry.at) for entry in over.line.log.find("heard")] == [("heard", 2000, 2.0)]
    assert over.ways == [("play", "done"), ("stop", "done")]


@virtual_time
async def test_a_call_hears_the_file_that_was_loaded(tmp_path: Path) -> None:
    files = {"a.ulaw": SOUND, "b.ulaw": SOUND}
    resources = RESOURCES + "  jingle: {file: b.ulaw}\n"
    house = library(
        tmp_path, flow("- play: a.ulaw\n- play: {prompt: jingle}"), files={**files, "resources.yaml": resources}
    )
    (tmp_path / "a.ulaw").write_bytes(spoken("Something else", 9000))
    (tmp_path / "b.ulaw").unlink()
    over = await dial(house)
    assert over.heard == ["A recorded word"] * 2


@virtual_time
async def test_words_are_spoken_by_whom_and_in_which_language_the_step_says(tmp_path: Path) -> None:
    asked: list[tuple[str | None, str | None, str]] = []
    house = library(
        tmp_path, flow("- play: {prompt: welcome, voice: heidi}\n- play: {prompt: welcome}"
                       "\n- play: a.ulaw", head="defaults: {play: {language: de-CH}}"),
        files={"a.ulaw": SOUND},
    )  # fmt: skip
    await dial(house, provider=speaking(Speaker(asked)))
    assert asked == [("heidi", "de-CH", "ulaw"), (None, "de-CH", "ulaw")]


@virtual_time
async def test_a_prompt_may_be_words(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- play: {prompt: welcome, loop: 2}")))
    assert over.heard == ["Welcome to Bella's."] * 2


@virtual_time
async def test_a_file_is_played_in_the_lines_law(tmp_path: Path) -> None:
    house = library(tmp_path, flow("- play: a.wav"), files={"a.wav": wav(audio=encode(bytes(16_000), "ulaw"))})
    over = await dial(house, line=VirtualLine(format="alaw"), law="alaw")
    assert over.line.log.find("heard")[0].ms == 1000


@pytest.mark.parametrize(("by", "ends"), [("none", "done"), ("dtmf", "interrupted"), ("any", "interrupted")])
@virtual_time
async def test_a_key_may_interrupt_it(tmp_path: Path, by: str, ends: str) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1.5)
        await line.caller.presses("#")

    house = library(tmp_path, flow(f"- play: {{file: a.ulaw, loop: 3, interruptible: {by}}}"), files={"a.ulaw": SOUND})
    over = await dial(house, script)
    assert over.ways == [("play", ends)]
    assert sum(entry.ms for entry in over.line.log.find("heard", "cut")) == (6000 if by == "none" else 1500)


def test_what_the_check_says(tmp_path: Path) -> None:
    (tmp_path / "fast.wav").write_bytes(wav(16_000))
    (tmp_path / "song.mp3").write_bytes(b"ID3 nothing")
    found = problems(
        tmp_path,
        """
        - play: fast.wav
        - play: {file: song.mp3}
        - play: gone.wav
        - play: ../../etc/passwd
        - play: {prompt: welcom}
        - play: {file: fast.wav, prompt: welcome}
        - play: {loop: 2}
        """,
    )
    assert found[0].startswith("3:11: error[E306]: ")
    assert "fast.wav has 16000 Hz" in found[0]
    assert "sox" in found[0]
    assert found[1].startswith("4:18: error[E306]: ")
    assert "is not a WAV file" in found[1]
    assert found.pop(5).startswith("8:18: error[E306]: ")
    assert found[2:] == [
        "5:11: error[E306]: file 'gone.wav': not found",
        "6:11: error[E306]: file '../../etc/passwd' lies outside of the flows' folder",
        "7:20: error[E302]: unknown prompt 'welcom' (did you mean 'welcome'?)",
        "8:28: error[E203]: play needs exactly one of 'file', 'prompt' and 'endpoint'",
        "9:5: error[E203]: play needs exactly one of 'file', 'prompt' and 'endpoint'",
    ]


def test_a_prompt_that_cannot_be_played_is_found_where_it_is_used(tmp_path: Path) -> None:
    resources = RESOURCES + "  jingle: {file: fast.wav}\n"
    loaded = load(
        tmp_path, flow("- play: {prompt: jingle}"), files={"fast.wav": wav(16_000), "resources.yaml": resources}
    )
    assert [problem.code for problem in loaded.problems] == ["E306"]
