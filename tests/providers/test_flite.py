import asyncio
import os
import time
from pathlib import Path

import pytest

from asterisk.sandbox import Installation
from providers import flite as module
from providers.energy import EnergyDetector
from providers.flite import Flite, command, sentences
from providers.voice import ALAW, ULAW, AudioFormat, VoiceError


def spoken(folder: Path) -> list[str]:
    return (folder / "spoken").read_text().splitlines()


def test_sentences() -> None:
    assert sentences("Hello there.  How are you,\nMr. Smith? Fine!") == [
        "Hello there.",
        "How are you, Mr. Smith?",
        "Fine!",
    ]
    assert sentences("At 12:30 it costs 9.50 dollars") == ["At 12:30 it costs 9.50 dollars"]
    assert sentences("   ") == []
    long = sentences("word " * 300)
    assert len(long) > 3
    assert all(len(piece) <= 400 for piece in long)
    assert " ".join(long) == ("word " * 300).strip()
    assert "".join(sentences("x" * 1000)) == "x" * 1000


def test_the_command_of_a_synthesiser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert command("/opt/flite", "flite") == ["/opt/flite"]
    assert command('["ld.so", "--library-path", "x", "flite"]', "flite") == ["ld.so", "--library-path", "x", "flite"]
    with pytest.raises(VoiceError, match="'flite' is not a JSON list"):
        command("[flite", "flite")
    with pytest.raises(VoiceError, match="must be a path or a JSON list"):
        command("[1]", "flite")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command(None, "flite") is None
    (tmp_path / "flite").touch(mode=0o755)
    assert command(None, "flite") == [str(tmp_path / "flite")]


async def test_speaks_a_sentence_once_and_remembers_it(synthesiser: list[str], tmp_path: Path) -> None:
    flite = Flite(synthesiser)
    first, *others = await asyncio.gather(
        *(flite.speak("Hello there. Bye.", voice=None, language=None, format=ULAW) for _ in range(20))
    )
    assert len(first) == 2 * 4000
    assert all(other == first for other in others)
    assert sorted(spoken(tmp_path)) == ["Bye.", "Hello there."]
    await flite.speak("Bye.", voice="rms", language=None, format=ULAW)
    await flite.speak("Bye.", voice=None, language=None, format=ALAW)
    assert len(spoken(tmp_path)) == 4


async def test_the_memory_is_bounded(synthesiser: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 9000)
    flite = Flite(synthesiser)
    for text in ("One.", "Two.", "Three.", "Three.", "Two.", "One."):
        await flite.speak(text, voice=None, language=None, format=ULAW)
    assert spoken(tmp_path) == ["One.", "Two.", "Three.", "One."]


async def test_prompts_outlive_the_process_on_disk(synthesiser: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    first = await Flite(synthesiser, cache=cache).speak("Hello.", voice=None, language=None, format=ULAW)
    assert await Flite(synthesiser, cache=cache).speak("Hello.", voice=None, language=None, format=ULAW) == first
    assert spoken(tmp_path) == ["Hello."]
    assert cache.stat().st_mode & 0o077 == 0
    assert [file.suffix for file in cache.iterdir()] == [".g711"]


async def test_the_oldest_prompts_on_disk_make_room(
    synthesiser: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DISK", 9000)
    cache = tmp_path / "cache"
    flite = Flite(synthesiser, cache=cache)
    await flite.speak("One.", voice=None, language=None, format=ULAW)
    oldest = next(cache.iterdir())
    os.utime(oldest, (1, 1))
    for text in ("Two.", "Three."):
        await flite.speak(text, voice=None, language=None, format=ULAW)
    assert len(list(cache.iterdir())) == 2
    assert not oldest.exists()


async def test_a_disk_that_cannot_be_written_costs_nothing_but_time(synthesiser: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    flite = Flite(synthesiser, cache=tmp_path / "file" / "cache")
    assert len(await flite.speak("Hello.", voice=None, language=None, format=ULAW)) == 4000


async def test_another_language_is_for_espeak(synthesiser: list[str], tmp_path: Path) -> None:
    script = f'echo "$@" >> {tmp_path}/espoken; for last; do :; done; cp {tmp_path}/tone.wav "$last"'
    flite = Flite(synthesiser, espeak=["/bin/sh", "-c", script, "espeak-ng"])
    await flite.speak("Guten Tag.", voice="slt", language="de-DE; rm", format=ULAW)
    await flite.speak("Hello.", voice="slt", language="en-US", format=ULAW)
    assert (tmp_path / "espoken").read_text().startswith("-v de-derm --stdin -w /")
    assert spoken(tmp_path) == ["Hello."]


async def test_an_unknown_voice_is_never_opened_as_a_file(tmp_path: Path) -> None:
    flite = Flite(["/bin/sh", "-c", f'echo "$@" > {tmp_path}/argv; exit 3', "flite"])
    with pytest.raises(VoiceError, match="status 3"):
        await flite.speak("Hello.", voice="/etc/passwd", language=None, format=ULAW)
    assert (tmp_path / "argv").read_text().startswith("-voice slt -f - -o ")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["/no/such/flite"], "cannot run /no/such/flite: No such file or directory; install flite"),
        (["/bin/sh", "-c", "echo broken >&2; exit 1"], "status 1: broken"),
        (["/bin/true"], "produced no audio"),
    ],
)
async def test_a_synthesiser_that_fails_says_why(argv: list[str], complaint: str) -> None:
    with pytest.raises(VoiceError, match=complaint):
        await Flite(argv).speak("Hello.", voice=None, language=None, format=ULAW)


async def test_a_synthesiser_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    flite = Flite(["/bin/sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"])
    with pytest.raises(VoiceError, match="took more than"):
        await flite.speak("Hello.", voice=None, language=None, format=ULAW)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_speaking_can_be_cancelled(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    flite = Flite(["/bin/sh", "-c", f"echo $$ > {tmp_path}/started; exec sleep 60"])
    task = asyncio.create_task(flite.speak("Hello.", voice=None, language=None, format=ULAW))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_only_the_telephones_rate_is_spoken(synthesiser: list[str]) -> None:
    with pytest.raises(VoiceError, match="8000 Hz"):
        await Flite(synthesiser).speak("Hello.", voice=None, language=None, format=AudioFormat("pcm16", 16000))


@pytest.mark.asterisk
@pytest.mark.parametrize("voice", [None, "rms", "kal"])
async def test_real_flite_speaks(installation: Installation, voice: str | None) -> None:
    flite = Flite(installation.flite())
    began = time.monotonic()
    audio = await flite.speak("Good evening. What can I do for you?", voice=voice, language=None, format=ULAW)
    assert 1.0 < len(audio) / 8000 < 5.0
    assert time.monotonic() - began < 5.0
    assert [edge.speaking for edge in EnergyDetector(ULAW).feed(audio + b"\xff" * 8000)][:2] == [True, False]


@pytest.mark.asterisk
async def test_real_flite_keeps_text_that_looks_like_options_apart(installation: Installation) -> None:
    audio = await Flite(installation.flite()).speak("--help -o /x $(id) <b>", voice=None, language=None, format=ULAW)
    assert len(audio) > 4000
