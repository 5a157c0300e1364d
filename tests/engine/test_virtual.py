from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest

from asterisk.media.leg import Closed, Drained, MarkReached
from engine.audio import encode, silence
from engine.line import DialOptions, LineError, LineGone
from engine.virtual import (
    CallOver,
    Calls,
    Deadlock,
    Fails,
    NeverHappened,
    Says,
    Stalls,
    Target,
    TargetError,
    VirtualLine,
    VirtualProvider,
    VirtualTimeError,
    VirtualVoice,
    run,
    virtual_clock,
    virtual_time,
)  # fmt: skip
from engine.virtual.media import VirtualMedia
from engine.virtual.words import Listening, duration_ms, spoken
from providers.energy import EnergyDetector
from providers.voice import (
    Audio,
    Failed,
    Session,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    TurnDone,
    UserText,
    VoiceError,
    VoiceEvent,
)  # fmt: skip

# ── The clock ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_hour_takes_no_time() -> None:
    async def ladder() -> list[float]:
        clock = asyncio.get_running_loop().time
        ends = []
        for _ in range(30):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(120):
                    await asyncio.Event().wait()
            ends.append(clock())
        return ends

    began = time.perf_counter()
    assert run(ladder()) == [120.0 * number for number in range(1, 31)]
    assert time.perf_counter() - began < 1.0


@virtual_time
async def test_timers_fire_in_order_and_at_their_time() -> None:
    clock = asyncio.get_running_loop().time
    seen: list[tuple[str, float]] = []

    async def after(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, clock()))

    async with asyncio.TaskGroup() as group:
        for seconds, name in ((3.3, "c"), (0.1, "a"), (1.0, "b")):
            group.create_task(after(seconds, name))
    assert seen == [("a", 0.1), ("b", 1.0), ("c", 3.3)]


@virtual_time
async def test_a_queue_with_a_timeout() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    asyncio.get_running_loop().call_later(5, queue.put_nowait, 7)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 4.999)
    assert await asyncio.wait_for(queue.get(), 0.002) == 7
    assert asyncio.get_running_loop().time() == 5


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_a_word(), name="secretary")

    async def waits_for_a_word() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"secretary: .*waits_for_a_word \(test_virtual.py:\d+\)"):
        run(main())


def test_a_loop_without_end_is_stopped() -> None:
    async def forever() -> None:
        while True:  # noqa: ASYNC110 - that is the mistake
            await asyncio.sleep(10)

    with pytest.raises(VirtualTimeError, match="more than 100 virtual seconds"):
        run(forever(), limit=100)


def test_a_task_left_behind_is_an_error() -> None:
    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(1), name="orphan")

    with pytest.raises(VirtualTimeError, match="orphan"):
        run(main())


def test_sockets_names_and_programs_are_refused() -> None:
    async def socket() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    async def name() -> None:
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)

    async def program() -> None:
        await asyncio.create_subprocess_exec("true")

    for outside in (socket, name, program):
        with pytest.raises(VirtualTimeError, match="world outside"):
            run(outside())


def test_a_failing_coroutine_fails_as_it_is() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        run(main())


@virtual_time
async def test_work_for_a_thread_is_done_at_once() -> None:
    assert await asyncio.to_thread(sum, [1, 2]) == 3


@virtual_time(start=datetime(2026, 12, 25, 22, 10, tzinfo=UTC))
async def test_the_date_goes_with_the_clock() -> None:
    clock = virtual_clock()
    await asyncio.sleep(3600)
    assert clock.now() == datetime(2026, 12, 25, 23, 10, tzinfo=UTC) == virtual_clock().now()


def test_there_is_no_virtual_date_on_a_real_loop() -> None:
    async def main() -> None:
        virtual_clock()

    with pytest.raises(VirtualTimeError, match="virtual_time"):
        asyncio.run(main())


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
        waiting = group.create_task(line.digit_waiting())
        await line.caller.presses("12")
        await waiting
    assert [await line.digit(), await line.digit()] == ["1", "2"]
    await line.caller.presses("3")
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
            "a": "answer", "b": "busy", "n": "no_answer", "d": {"declined": 2}, "u": "unavailable", "f": "failed",
            "x": "impossible", "l": {"answer": 40}, "s": [{"busy": 1}, {"answer": 2}],
        }
    )  # fmt: skip

    async def ring(name: str) -> tuple[str, int | None, int | None, int]:
        leg = await line.dial(name, DialOptions(timeout=30))
        result = await leg.answered()
        return result.status, result.sip_code, result.q850, result.ring_ms

    assert await ring("a") == ("answered", 200, None, 3000)
    assert await ring("b") == ("busy", 486, 17, 500)
    assert await ring("n") == ("no_answer", 480, 19, 30_000)
    assert await ring("d") == ("declined", 603, 21, 2000)
    assert await ring("u") == ("unavailable", 404, 1, 200)
    assert await ring("f") == ("failed", 500, 38, 1000)
    assert await ring("l") == ("no_answer", 480, 19, 30_000)
    assert [(await ring("s"))[0] for _ in range(3)] == ["busy", "answered", "answered"]
    for name in ("x", "stranger"):
        with pytest.raises(LineError, match=f"{name} cannot be dialled"):
            await ring(name)
    assert line.left_over == ["leg to a", "leg to s", "leg to s", "the caller"]
    await line.close()
    assert line.left_over == []


@virtual_time
async def test_a_leg_answers_presses_keys_and_hangs_up() -> None:
    line = VirtualLine(targets={"nurse": {"answer": 9, "keys": "12", "hangs_up_after": 30}})
    leg = await line.dial("nurse", DialOptions())
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
    assert line.log.heard("nurse") == ["Press 1"]
    assert [(entry.at, entry.what) for entry in line.log if entry.who == "nurse" and entry.what != "heard"] == [
        (0, "dialled"), (9, "answered"), (10, "pressed"), (11, "pressed"), (11, "connected"), (39, "hung_up"),
    ]  # fmt: skip
    with pytest.raises(LineGone):
        await leg.digit()
    await line.close()


@virtual_time
async def test_cancelling_the_wait_for_an_answer_stops_the_ringing() -> None:
    line = VirtualLine(targets={"a": "answer"})
    leg = await line.dial("a", DialOptions())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(leg.answered(), 1)
    assert (await leg.answered()).status == "cancelled"
    assert leg.ended.done()
    await leg.hangup()
    await line.close()


@pytest.mark.parametrize("value", ["bussy", {"answr": 3}, {"answer": 3, "busy": 4}, {"answer": 1, "kyes": "1"}, 7])
def test_a_wrong_table_says_what_it_could_hold(value: object) -> None:
    with pytest.raises(TargetError, match=r"nurse: .*(answer|keys)"):
        Target.of(value, "nurse")


# ── The line ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_connecting_takes_the_audio_away() -> None:
    line = VirtualLine(targets={"a": {"answer": 1}})
    media = await line.open_media()
    assert await line.open_media() is media
    leg = await line.dial("a", DialOptions())
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
    assert line.ended.result().text == "given back"
    await line.hangup()
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


# ── The voice ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def gather_events(voice: VirtualVoice, seconds: float) -> list[VoiceEvent]:
    found: list[VoiceEvent] = []
    try:
        async with asyncio.timeout(seconds):
            async for event in voice.events():
                if not isinstance(event, Audio):
                    found.append(event)
                elif not found or not isinstance(found[-1], Audio):
                    found.append(Audio(b"", event.item))
    except TimeoutError:
        pass
    return found


async def hear(voice: VirtualVoice, text: str, ms: int) -> None:
    audio = spoken(text, ms)
    for start in range(0, len(audio), 160):
        await asyncio.sleep(0.02)
        await voice.send_audio(audio[start : start + 160])


@virtual_time
async def test_a_voice_answers_from_its_script_and_calls_tools() -> None:
    provider = VirtualProvider([[Calls("price", {"size": "L"})], [Says("Nine dollars", 500), Calls("finish")]])
    voice = provider.voice(Session())
    await voice.connect()
    await hear(voice, "How much?", 800)
    events = await gather_events(voice, 2)
    started, stopped, text, call, done = events
    assert (started, stopped) == (SpeechStarted(), SpeechStopped())
    assert isinstance(text, UserText)
    assert text.text == "How much?"
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("price", {"size": "L"})
    assert isinstance(done, TurnDone)
    assert done.item is None
    await voice.tool_result(call.id, '{"usd": 9}')
    spoke, _, finish, done = await gather_events(voice, 2)
    assert isinstance(spoke, Audio)
    assert isinstance(finish, ToolCall)
    assert isinstance(done, TurnDone)
    assert done.item == spoke.item
    assert voice.results == [("price", '{"usd": 9}', True)]
    assert voice.heard == ["How much?"]
    await voice.close()
    assert voice.closed


@virtual_time
async def test_a_voice_that_is_spoken_over_stops() -> None:
    provider = VirtualProvider([[Says("Sorry?", 400)]])
    voice = provider.voice(Session())
    await voice.say("A very long greeting " * 20)
    events = await gather_events(voice, 0.5)
    assert all(isinstance(event, Audio) for event in events)
    await hear(voice, "Stop", 300)
    events = [event for event in await gather_events(voice, 2) if not isinstance(event, Audio)]
    assert events[:2] == [SpeechStarted(), TurnDone("interrupted", item="item1")]
    assert isinstance(events[-1], TurnDone)
    assert events[-1].item == "item2"


@virtual_time
async def test_a_voice_stalls_fails_and_ends_as_told() -> None:
    provider = VirtualProvider([[Stalls()], [Fails("gone", "boom")]])
    voice = provider.voice(Session())
    await hear(voice, "One", 300)
    await asyncio.sleep(30)
    await hear(voice, "Two", 300)
    events = await gather_events(voice, 60)
    assert events[-1] == Failed("gone", "boom")
    assert voice.closed
    stranger = provider.voice(Session())
    await hear(stranger, "Three", 300)
    failed = (await gather_events(stranger, 60))[-1]
    assert isinstance(failed, Failed)
    assert "no reply left to 'Three'" in failed.message


@virtual_time
async def test_a_voice_that_cannot_be_reached_or_does_not_listen() -> None:
    with pytest.raises(VoiceError, match="refused"):
        await VirtualProvider(connects_after=VoiceError("refused")).voice(Session()).connect()
    deaf = VirtualProvider(deaf=True).voice(Session())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(deaf.send_audio(bytes(160)), 60)


@virtual_time
async def test_turns_end_after_a_pause_and_not_before() -> None:
    provider = VirtualProvider([[Says("Yes", 300)]], pause=0.5)
    voice = provider.voice(Session())
    await hear(voice, "I would", 300)
    await asyncio.sleep(0.4)
    await hear(voice, "like pizza", 300)
    events = await gather_events(voice, 5)
    assert [type(event) for event in events].count(SpeechStopped) == 1
    assert voice.heard == ["I would like pizza"]
