from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio import Heard, silence
from engine.beside import beside
from engine.playout import Playout
from engine.sides import Sides
from engine.virtual import VirtualLine, run, virtual_time
from engine.virtual.media import VirtualMedia


@asynccontextmanager
async def playing(line: VirtualLine) -> AsyncIterator[Playout]:
    playout = Playout(await line.open_media())
    async with beside(playout.run()):
        yield playout
    await line.close()


def ms(milliseconds: int) -> bytes:
    return silence(milliseconds, "ulaw")


@virtual_time
async def test_playing_waits_for_the_end_of_the_sound() -> None:
    line = VirtualLine()
    async with playing(line) as playout:
        assert await playout.play(ms(1500))
        assert line.log.now == 1.5
        assert await playout.play(b"")
        assert line.log.now == 1.5


@virtual_time
async def test_a_flush_tells_what_was_heard_of_each_item() -> None:
    async with playing(VirtualLine()) as playout:
        await playout.send("a", ms(1000))
        first = await playout.finish("a")
        await playout.send("b", ms(1000))
        second = await playout.finish("b")
        await asyncio.sleep(1.4)
        assert await playout.flush() == [Heard("b", 400, 1000)]
        assert (await first, await second) == (True, False)
        assert await playout.flush() == []


@virtual_time
async def test_a_sound_that_was_heard_is_not_cut_because_a_later_one_is() -> None:
    """Its mark may be on its way still when the line is flushed."""
    line = VirtualLine()
    media = await line.open_media()
    playout = Playout(media)  # nobody reads the leg: no mark gets here
    await playout.send("a", ms(1000))
    first = await playout.finish("a")
    await playout.send("b", ms(1000))
    second = await playout.finish("b")
    await asyncio.sleep(1.25)
    assert await playout.flush() == [Heard("b", 250, 1000)]
    assert (await first, await second) == (True, False)
    await line.close()


@virtual_time
async def test_what_is_sent_during_a_flush_belongs_to_the_next() -> None:
    line = VirtualLine(latency=0.05)
    async with playing(line) as playout:
        await playout.send("old", ms(1000))
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(playout.flush())
            await asyncio.sleep(0.02)
            await playout.send("new", ms(400))
            new = await playout.finish("new")
        assert flushing.result() == [Heard("old", 0, 1000)]
        await asyncio.sleep(0.1)
        assert await playout.flush() == [Heard("new", 130, 400)]
        assert not await new


@virtual_time
async def test_a_flush_that_is_cancelled_leaves_nobody_waiting() -> None:
    line = VirtualLine(latency=1.0)
    async with playing(line) as playout:
        await playout.send("a", ms(1000))
        ended = await playout.finish("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(playout.flush(), 0.1)
        assert not await ended


@virtual_time
async def test_cancelling_a_sound_silences_the_line() -> None:
    line = VirtualLine()
    async with playing(line) as playout:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(playout.play(ms(5000)), 2)
        assert [(entry.what, entry.ms) for entry in line.log] == [("cut", 2000)]
        assert await playout.flush() == []


@virtual_time
async def test_the_end_of_the_leg_ends_every_wait() -> None:
    line = VirtualLine()
    async with playing(line) as playout:
        asyncio.get_running_loop().call_later(1, line.end, "caller")
        assert not await playout.play(ms(5000))
        assert playout.closed.is_set()
        assert not await playout.play(ms(5000))
        assert line.log.now == 1


@virtual_time
async def test_the_caller_is_heard_by_whoever_listens() -> None:
    line = VirtualLine()
    heard: list[bytes] = []

    async def listener(audio: bytes) -> None:
        heard.append(audio)

    async with playing(line) as playout:
        await line.caller.says("nobody listens", 0.2)
        await asyncio.sleep(0.01)
        playout.listener = listener
        await line.caller.says("Hello", 0.2)
        await asyncio.sleep(0.01)
    assert len(heard) == 10
    assert playout.heard == 20


@virtual_time
async def test_a_listener_that_takes_no_audio_is_left_alone_when_it_is_replaced() -> None:
    line = VirtualLine()
    heard: list[bytes] = []

    async def deaf(audio: bytes) -> None:
        await asyncio.Event().wait()

    async def listener(audio: bytes) -> None:
        heard.append(audio)

    async with playing(line) as playout:
        playout.listener = deaf
        await line.caller.says("Hello", 0.2)
        assert playout.listening
        playout.listener = listener
        assert await playout.play(ms(500))  # the leg is read again
    assert len(heard) == 9
    assert not playout.listening


@virtual_time
async def test_a_listener_may_hand_over_to_another_and_fail() -> None:
    line = VirtualLine()
    heard: list[bytes] = []

    async def second(audio: bytes) -> None:
        heard.append(audio)
        raise KeyError("listener")

    async def first(audio: bytes) -> None:
        playout.listener = second

    playout = Playout(await line.open_media())
    playout.listener = first

    async def listens() -> None:
        async with beside(playout.run()):
            await line.caller.says("Hello", 1.0)

    with pytest.raises(KeyError, match="listener"):
        await listens()
    assert len(heard) == 1
    await line.close()


@virtual_time
async def test_running_dry_is_told() -> None:
    dry: list[float] = []
    line = VirtualLine()
    async with playing(line) as playout:
        playout.on_drained = lambda: dry.append(line.log.now)
        await playout.send("a", ms(500))
        await asyncio.sleep(2)
        await playout.send("a", ms(500))
        await playout.flush()
        await asyncio.sleep(1)
    assert dry == [0.5]  # a flush is not the end of what was said


@virtual_time
async def test_who_begins_to_listen_gets_what_is_not_heard_yet_and_no_more_is_kept() -> None:
    """A voice that is a minute ahead, and then speaks at its own pace for a minute."""
    said = b""
    async with playing(VirtualLine()) as playout:
        await playout.send("v", ms(60_000))
        for number in range(3000):
            await asyncio.sleep(0.02)
            piece = bytes([number % 100]) * 160
            said += piece
            await playout.send("v", piece)
        await asyncio.sleep(59.5)
        await playout.send("v", b"!" * 160)
        assert len(playout._said) < 8160 + 8000, "half a second is left, and a second is forgotten at a time"
        side = Sides("ulaw", asyncio.get_running_loop().time, 60)
        playout.tapped(side)
        assert side._other.take(0, 4160) == said[-4000:] + b"!" * 160, "all that is left, and nothing that was heard"


@virtual_time
async def test_names_are_fresh() -> None:
    playout = Playout(VirtualMedia("caller", VirtualLine().log))
    assert len({playout.name("p") for _ in range(100)}) == 100


SOUNDS = st.lists(st.tuples(st.integers(1, 9000), st.floats(0, 1)), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(sounds=SOUNDS, wait=st.floats(0, 4), latency=st.sampled_from([0.0, 0.03]))
def test_played_and_discarded_are_what_was_handed_over(
    sounds: list[tuple[int, float]], wait: float, latency: float
) -> None:
    """A flush at any moment: nothing is lost or counted twice, and what did not come was not heard."""

    async def main() -> None:
        line = VirtualLine(latency=latency)
        async with playing(line) as playout:
            given: dict[str, int] = {}
            ended: dict[str, asyncio.Future[bool]] = {}
            for number, (size, pause) in enumerate(sounds):
                item = f"i{number}"
                given[item] = size
                await playout.send(item, bytes([0x55]) * size)
                ended[item] = await playout.finish(item)
                await asyncio.sleep(pause)
            await asyncio.sleep(wait)
            cut = {heard.item: heard for heard in await playout.flush()}
            media = line.media
            assert media is not None
            played = sum(entry.ms for entry in line.log)
            for item, future in ended.items():
                assert await future == (item not in cut)
                if item in cut:
                    assert 0 <= cut[item].played_ms < cut[item].total_ms + 1
                    assert cut[item].total_ms == given[item] // 8
            claimed = sum(given[item] // 8 if item not in cut else cut[item].played_ms for item in given)
            assert claimed == pytest.approx(played, abs=2 * len(sounds) + 1)
            assert claimed <= sum(given.values()) // 8

    run(main())
