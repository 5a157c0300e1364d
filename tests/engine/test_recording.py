"""A recording of a call: what is where in time, what is not in it, and what becomes of its file."""

from __future__ import annotations

import asyncio
import audioop
import stat
import threading
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.audio import encode, silence
from engine.beside import beside
from engine.recording import Recording, create, keep
from engine.sides import Track
from engine.virtual import virtual_time

LOUD = encode(b"\x00\x40" * 160, "ulaw")  # 20 ms


def sides(path: Path) -> tuple[bytes, bytes]:
    """Caller and engine as linear samples."""
    with wave.open(str(path)) as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (8000, 2, 2)
        pcm = sound.readframes(sound.getnframes())
    return audioop.tomono(pcm, 2, 1, 0), audioop.tomono(pcm, 2, 0, 1)


def loud(pcm: bytes) -> list[tuple[int, int]]:
    """Where there is sound: (from, to) in ms, looked at 10 ms at a time."""
    found: list[tuple[int, int]] = []
    for at in range(0, len(pcm) // 16, 10):
        if audioop.rms(pcm[at * 16 : (at + 10) * 16], 2) > 1000:
            found = [*found[:-1], (found[-1][0], at + 10)] if found and found[-1][1] == at else [*found, (at, at + 10)]
    return found


def recording(folder: Path) -> Recording:
    made = Recording(folder / "deep/er/a.wav", "ulaw", asyncio.get_running_loop().time)
    made.attach()
    return made


async def speaks(made: Recording, ms: int) -> None:
    for _ in range(ms // 20):
        await asyncio.sleep(0.02)
        made.caller(LOUD)


@virtual_time
async def test_both_sides_are_where_they_were_heard(tmp_path: Path) -> None:
    made = recording(tmp_path)
    async with beside(made.run()):
        await asyncio.sleep(1)
        await speaks(made, 1000)
        made.engine(LOUD * 25)  # 1 s in two pieces, handed over at once
        made.engine(LOUD * 25)
        await asyncio.sleep(2)
        await speaks(made, 600)
        await asyncio.sleep(0.4)
        assert made.seconds == pytest.approx(5)
        await made.stop()
    caller, engine = sides(made.path)
    assert len(caller) == 5 * 16_000
    assert loud(caller) == [(1000, 2000), (4000, 4600)]
    assert loud(engine) == [(2000, 3000)]


@virtual_time
async def test_what_was_taken_back_was_never_heard(tmp_path: Path) -> None:
    made = recording(tmp_path)
    async with beside(made.run()):
        made.engine(LOUD * 500)
        await asyncio.sleep(1.5)
        made.hush()
        made.engine(LOUD * 10)
        await asyncio.sleep(0.5)
        await made.stop()
    assert loud(sides(made.path)[1]) == [(0, 1700)]


@virtual_time
async def test_a_pause_is_not_in_the_file(tmp_path: Path) -> None:
    made = recording(tmp_path)
    async with beside(made.run()):
        await speaks(made, 1000)
        made.engine(LOUD * 100)
        made.pause()
        await speaks(made, 5000)
        made.engine(LOUD * 100)
        made.resume()
        await asyncio.sleep(1)
        await speaks(made, 500)
        await made.stop()
    caller, engine = sides(made.path)
    assert loud(caller) == [(0, 1000), (2000, 2500)]
    assert loud(engine) == []


@virtual_time
async def test_time_without_audio_at_the_engine_is_not_in_the_file(tmp_path: Path) -> None:
    made = recording(tmp_path)
    async with beside(made.run()):
        await speaks(made, 1000)
        made.gone()
        made.pause()
        await asyncio.sleep(3600)
        made.resume()
        await asyncio.sleep(60)
        made.attach()
        await speaks(made, 1000)
        await made.stop()
    assert loud(sides(made.path)[0]) == [(0, 2000)]


@virtual_time
async def test_late_frames_find_their_place(tmp_path: Path) -> None:
    made = recording(tmp_path)
    async with beside(made.run()):
        await speaks(made, 1000)
        await asyncio.sleep(0.4)  # the network held them back
        for _ in range(20):
            made.caller(LOUD)
        await speaks(made, 1000)
        await asyncio.sleep(1)
        await made.stop()
    assert loud(sides(made.path)[0]) == [(0, 2400)]


@virtual_time
async def test_the_file_is_whole_while_it_is_written_and_when_it_is_cancelled(tmp_path: Path) -> None:
    made = recording(tmp_path)
    async with beside(made.run()):
        await speaks(made, 4000)
        assert len(sides(made.path)[0]) >= 2 * 16_000
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert loud(sides(made.path)[0]) == [(0, 4000)]
    assert made.over.is_set()


@virtual_time
async def test_a_disk_that_fails_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("")
    made = recording(tmp_path)
    async with beside(made.run()):
        await speaks(made, 3000)
        assert made.over.is_set()
        made.resume()
        await speaks(made, 100)
        assert made.seconds <= 2.1, "nothing is gathered that nobody writes"
        await made.stop()
    assert "cannot be written" in made.error


@virtual_time
async def test_it_ends_by_itself_after_four_hours(tmp_path: Path) -> None:
    made = recording(tmp_path)
    made._counted = 4 * 3600 * 8000 - 16_000
    made._written = made._counted
    async with beside(made.run()):
        await asyncio.sleep(3.1)
        assert made.over.is_set()


def test_a_message_is_never_seen_half_written(tmp_path: Path) -> None:
    keep(tmp_path / "box/a.wav", silence(1000, "alaw"), "alaw")
    assert [path.name for path in (tmp_path / "box").iterdir()] == ["a.wav"]
    with wave.open(str(tmp_path / "box/a.wav")) as sound:
        assert sound.getnframes() == 8000


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 60)), max_size=12), st.integers(1, 40), st.integers(0, 900)
)
def test_a_track_holds_what_was_put_whatever_is_taken_when(pieces: list[tuple[int, int]], step: int, cut: int) -> None:
    track, expected = Track(b"."), bytearray(b"." * 2000)
    for number, (gap, size) in enumerate(pieces):
        audio, at = bytes([65 + number]) * size, track.end + gap
        track.put(at, audio)
        expected[at : at + size] = audio
    track.cut(cut)
    expected[cut:] = b"." * (2000 - cut)
    taken = b"".join(track.take(at, at + step) for at in range(0, 1000, step))
    assert taken == bytes(expected[: len(taken)])


async def test_a_disk_that_does_not_answer_holds_up_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.recording.CLOSE_WITHIN", 0.1)
    answers = threading.Event()

    def hangs(path: Path, channels: int) -> wave.Wave_write:
        answers.wait(10)
        return create(path, channels)

    monkeypatch.setattr("engine.recording.create", hangs)
    made = recording(tmp_path)
    made.caller(LOUD * 100)
    running = asyncio.ensure_future(made.run())
    await asyncio.sleep(0)
    running.cancel()
    try:
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await running
        assert "could not be written within 0.1 s" in made.error
        assert made.over.is_set()
    finally:
        answers.set()
