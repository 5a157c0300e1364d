from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asterisk.media.leg import Closed, Drained, MarkReached
from engine.audio import encode, silence
from engine.line import DialOptions, LineError, LineGone
from engine.virtual import (
    CallOver,
    NeverHappened,
    Target,
    TargetError,
    VirtualLine,
    virtual_time,
)  # fmt: skip
from engine.virtual.media import VirtualMedia
from engine.virtual.words import Listening, duration_ms, spoken
from providers.energy import EnergyDetector

# ── Words in audio ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [11, 20, 160, 100_000])
def test_words_survive_any_cutting(size: int) -> None:
    audio = silence(40, "ulaw") + spoken("Grüezi, wie geht's?" * 10, 12_000) + spoken("Bye", 20) + silence(20, "ulaw")
    listening = Listening()
    heard: dict[int, str] = {}
    sizes = []
    # Frames meet an utterance at its beginning, as they do where speech begins a frame; headers need 14 bytes.
    for part in (audio[:320], audio[320 : 320 + 96_000], audio[96_320:96_480], audio[96_480:]):
        first = part[:20]
        for chunk in (first, *(part[n : n + size] for n in range(20, len(part), size))):
            for piece in listening.feed(chunk):
                sizes.append(piece.size)
                if piece.words is not None:
                    heard[id(piece.words)] = piece.words.text
    assert sum(sizes) == len(audio)
    assert list(heard.values()) == ["Grüezi, wie geht's?" * 10, "Bye"]


def test_words_as_long_as_asked_and_loud_in_both_laws() -> None:
    assert len(spoken("Hello", 700)) == 5600
    assert len(spoken("Hello there")) == 8 * duration_ms("Hello there") == 8 * 660
    for law in ("ulaw", "alaw"):
        assert spoken("x", 500, law)[100:] != encode(bytes(2), law)


# ── Media ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def events_of(media: VirtualMedia, most: int) -> list[object]:
    found: list[object] = []
    async with asyncio.timeout(60):
        async for event in media.events():
            found.append(event)
            if len(found) == most:
                break
    return found


@virtual_time
async def test_marks_come_when_their_audio_was_played() -> None:
    line = VirtualLine()
    media = await line.open_media()
    clock = asyncio.get_running_loop().time
    await media.mark("at once")
    await media.send(silence(1000, "ulaw"))
    await media.mark("one")
    await media.send(silence(500, "ulaw"))
    await media.mark("two")
    assert await events_of(media, 1) == [MarkReached("at once")]
    assert clock() == 0
    assert await events_of(media, 1) == [MarkReached("one")]
    assert clock() == 1
    assert await events_of(media, 2) == [MarkReached("two"), Drained()]
    assert clock() == 1.5
    assert [str(entry).split() for entry in line.log] == [["1.500", "caller", "heard", "(1500", "ms)"]]
    await line.close()


@virtual_time
async def test_flush_tells_exactly_what_was_thrown_away() -> None:
    line = VirtualLine()
    media = await line.open_media()
    await media.send(spoken("First", 1000))
    await media.send(spoken("Second", 1000))
    await media.mark("end")
    await asyncio.sleep(1.25)
    assert await media.flush() == 750
    assert await media.flush() == 0
    await media.send(spoken("Third", 400))
    await media.mark("third")
    assert await events_of(media, 2) == [MarkReached("third"), Drained()]
    assert [(entry.what, entry.text, entry.ms) for entry in line.log] == [
        ("heard", "First", 1000), ("cut", "Second", 250), ("heard", "Third", 400),
    ]  # fmt: skip
    assert line.log.heard() == ["First", "Second…", "Third"]
    await line.close()


@virtual_time
async def test_speech_that_comes_in_pieces_is_one_utterance_even_when_it_runs_dry() -> None:
    line = VirtualLine()
    media = await line.open_media()
    audio = spoken("A long sentence", 1000)
    for start in range(0, len(audio), 1600):
        await media.send(audio[start : start + 1600])
        await asyncio.sleep(0.3)  # each 200 ms come 100 ms too late
    assert [(entry.what, entry.text, entry.ms) for entry in line.log] == [("heard", "A long sentence", 1000)]
    await line.close()


@virtual_time
async def test_a_closed_leg_says_so_and_plays_no_more() -> None:
    line = VirtualLine()
    media = await line.open_media()
    await media.send(spoken("Hello", 1000))
    await asyncio.sleep(0.1)
    await media.close()
    await media.close()
    await media.send(spoken("More", 1000))
    await media.mark("never")
    assert [type(event) for event in await events_of(media, 5)] == [Closed]
    assert [(entry.what, entry.ms) for entry in line.log] == [("cut", 100)]
    assert await line.open_media() is not media
    await line.close()


# ── The caller ────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_what_the_caller_says_arrives_frame_by_frame() -> None:
    line = VirtualLine()
    media = await line.open_media()
    await line.caller.says("I want pizza", 2.0)
    frames = await events_of(media, 100)
    assert all(isinstance(frame, bytes) and len(frame) == 160 for frame in frames)
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)
    detector = EnergyDetector()
    assert any(edge.speaking for frame in frames if isinstance(frame, bytes) for edge in detector.feed(frame))
    await line.close()


@virtual_time
async def test_keys_wait_in_order_and_end_with_the_call() -> None:
    line = VirtualLine()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(line.peek_digit())
        await line.caller.presses("12")
        assert await waiting == (0, "1")
        assert await line.peek_digit(1) == (1, "2")
    assert [await line.digit(), await line.digit()] == ["1", "2"]
    await line.caller.presses("3")
    line.drop_digits()
    await line.caller.presses("4")
    assert await line.peek_digit(1) == (3, "4")
    line.drop_digits()
    asyncio.get_running_loop().call_later(1, line.end, "caller")
    with pytest.raises(LineGone):
        await line.digit()
    assert line.ended.result().text == "caller"


@virtual_time
async def test_a_caller_who_is_gone_cannot_act() -> None:
    line = VirtualLine()
    await line.caller.hangs_up()
    with pytest.raises(CallOver, match="hung_up"):
        await line.caller.says("Hello")
    with pytest.raises(LineGone):
        await line.answer()


@virtual_time
async def test_a_script_that_waits_in_vain_shows_what_happened() -> None:
    line = VirtualLine()
    await line.answer()
    with pytest.raises(NeverHappened, match=r"no heard or cut 'pizza' of caller within 5 s.*\n.*caller  answered"):
        await line.caller.hears("pizza", within=5)


@virtual_time
async def test_a_script_waits_for_the_next_entry_of_its_kind() -> None:
    line = VirtualLine()
    media = await line.open_media()
    for _ in range(2):
        await media.send(spoken("Hello", 1000))
    assert (await line.caller.hears("hello")).at == 1.0
    assert (await line.caller.hears("Hello")).at == 2.0
    await line.close()


# ── Targets ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_targets_do_what_the_table_says() -> None:
    line = VirtualLine(
        targets={
            "pjsip:a": "answer", "pjsip:b": "busy", "pjsip:n": "no_answer", "pjsip:d": {"declined": 2},
            "pjsip:u": "unavailable", "pjsip:f": "failed",
            "pjsip:x": "impossible", "pjsip:l": {"answer": 40}, "pjsip:s": [{"busy": 1}, {"answer": 2}],
        }
    )  # fmt: skip

    async def ring(name: str) -> tuple[str, int | None, int | None, int]:
        leg = await line.dial(name, DialOptions(timeout=30))
        result = await leg.answered()
        return result.status, result.sip_code, result.q850, result.ring_ms

    assert await ring("pjsip:a") == ("answered", 200, None, 3000)
    assert await ring("pjsip:b") == ("busy", 486, 17, 500)
    assert await ring("pjsip:n") == ("no_answer", 480, 19, 30_000)
    assert await ring("pjsip:d") == ("declined", 603, 21, 2000)
    assert await ring("pjsip:u") == ("unavailable", 404, 1, 200)
    assert await ring("pjsip:f") == ("failed", 500, 38, 1000)
    assert await ring("pjsip:l") == ("no_answer", 480, 19, 30_000)
    assert [(await ring("pjsip:s"))[0] for _ in range(3)] == ["busy", "answered", "answered"]
    for name in ("pjsip:x", "pjsip:stranger"):
        with pytest.raises(LineError, match=f"{name} cannot be dialled"):
            await ring(name)
    assert line.left_over == ["leg to pjsip:a", "leg to pjsip:s", "leg to pjsip:s", "the caller"]
    await line.close()
    assert line.left_over == []


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("pjsp:desk", {}, "no target"), ("desk", {}, "no target"), ("tel:0800", {}, "no E.164 number"),
        ("pjsip:desk", {"headers": {"Via": "x"}}, "'Via' cannot be set"),
        ("pjsip:desk", {"headers": {"Bad Header": "x"}}, "'Bad Header' cannot be set"),
        ("pjsip:desk", {"headers": {"X-A": "1\r\nX-B: 2"}}, "line break"),
        ("pjsip:desk", {"headers": {f"X-{n}": "1" for n in range(21)}}, "too many"),
        ("pjsip:desk", {"caller_id": "abc def"}, "no phone number"),
        ("pjsip:desk", {"caller_name": 'A"'}, "display name"),
    ],
)  # fmt: skip
@virtual_time
async def test_what_the_real_line_refuses_is_refused_here_too(target: str, options: dict[str, Any], words: str) -> None:
    line = VirtualLine(targets={target: "answer"})
    with pytest.raises(LineError, match=words):
        await line.dial(target, DialOptions(**options))
    assert [(entry.who, entry.text) for entry in line.log.find("refused")] == [(target, "impossible")]
    assert not line.legs
    await line.close()


@virtual_time
async def test_a_leg_answers_presses_keys_and_hangs_up() -> None:
    line = VirtualLine(targets={"pjsip:nurse": {"answer": 9, "keys": "12", "hangs_up_after": 30}})
    leg = await line.dial("pjsip:nurse", DialOptions())
    with pytest.raises(LineError):
        await line.connect(leg)
    await leg.answered()
    media = await leg.open_media()
    await media.send(spoken("Press 1", 1000))
    assert [await leg.digit(), await leg.digit()] == ["1", "2"]
    await line.connect(leg)
    assert media.closed
    ending = await leg.ended
    assert (ending.cause, ending.text) == (16, "target")
    assert line.connected is None
    assert line.log.heard("pjsip:nurse") == ["Press 1"]
    assert [(entry.at, entry.what) for entry in line.log if entry.who == "pjsip:nurse" and entry.what != "heard"] == [
        (0, "dialled"), (9, "answered"), (10, "pressed"), (11, "pressed"), (11, "connected"), (39, "hung_up"),
    ]  # fmt: skip
    with pytest.raises(LineError, match="not on the line"):
        await leg.digit()
    await line.close()


@virtual_time
async def test_cancelling_the_wait_for_an_answer_stops_the_ringing() -> None:
    line = VirtualLine(targets={"pjsip:a": "answer"})
    leg = await line.dial("pjsip:a", DialOptions())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(leg.answered(), 1)
    assert (await leg.answered()).status == "cancelled"
    assert leg.ended.done()
    await leg.hangup()
    await line.close()


@pytest.mark.parametrize("value", ["bussy", {"answr": 3}, {"answer": 3, "busy": 4}, {"answer": 1, "kyes": "1"}, 7])
def test_a_wrong_table_says_what_it_could_hold(value: object) -> None:
    with pytest.raises(TargetError, match=r"nurse: .*(answer|keys)"):
        Target.of(value, "pjsip:nurse")


# ── The line ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_connecting_takes_the_audio_away() -> None:
    line = VirtualLine(targets={"pjsip:a": {"answer": 1}})
    media = await line.open_media()
    assert await line.open_media() is media
    leg = await line.dial("pjsip:a", DialOptions())
    await leg.answered()
    await line.connect(leg)
    assert media.closed
    again = await line.open_media()
    assert again is not media
    await line.close()


@virtual_time
async def test_giving_back_needs_something_behind_the_engine() -> None:
    line = VirtualLine()
    assert not await line.give_back()
    assert not line.ended.done()
    await line.close()
    line = VirtualLine(fallback=True)
    assert await line.give_back()
    await line.hangup()
    assert not line.ended.done()
    await line.close()
    assert line.ended.result().text == "given back"
    assert [entry.what for entry in line.log] == ["given_back"]


@virtual_time
async def test_commands_take_their_time_and_fail_as_told() -> None:
    line = VirtualLine(latency=0.02, faults={"open_media": 3.0, "connect": LineError("no bridge")})
    await line.answer()
    assert line.log.now == pytest.approx(0.02)
    await line.open_media()
    assert line.log.now == pytest.approx(3.02)
    with pytest.raises(LineError, match="no bridge"):
        await line.connect(None)  # type: ignore[arg-type]
    await line.close()
