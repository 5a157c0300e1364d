"""The websocket leg on a real Asterisk: leg A plays, leg B in the same bridge hears."""

from __future__ import annotations

import asyncio
import itertools
import statistics

import pytest

from asterisk.instance import Instance
from asterisk.media.control import MediaError
from asterisk.media.leg import Closed, Drained, MarkReached
from asterisk.media.websocket import open_websocket

from .studio import studio

pytestmark = pytest.mark.asterisk

FRAME = 160


def tone(frames: int) -> bytes:
    """Frames that can be told apart, and from silence."""
    return b"".join(bytes([n % 120 + 1]) * FRAME for n in range(frames))


def gaps(heard: list[tuple[float, bytes]]) -> list[float]:
    return [later - earlier for (earlier, _), (later, _) in itertools.pairwise(heard)]


async def test_a_burst_is_paced_marked_and_drained(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        await a.leg.send(tone(25))
        await a.leg.mark("half")
        await a.leg.send(tone(25))
        await a.leg.mark("all")
        half, whole, drained = [await a.event(each) for each in (MarkReached("half"), MarkReached("all"), Drained())]
        await b.until(lambda: len(b.heard) == 50)
        assert b"".join(frame for _, frame in b.heard) == tone(25) * 2
        assert statistics.median(gaps(b.heard)) == pytest.approx(0.02, abs=0.004)
        assert b.heard[-1][0] - b.heard[0][0] == pytest.approx(0.98, abs=0.06)
        assert whole - half == pytest.approx(0.5, abs=0.06)
        assert drained == pytest.approx(whole, abs=0.03)
        assert whole - b.heard[-1][0] == pytest.approx(0.02, abs=0.03)


async def test_both_ways_at_once(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        await asyncio.gather(a.leg.send(tone(40)), b.leg.send(tone(30)))
        await asyncio.gather(a.event(Drained), b.event(Drained))
        await b.until(lambda: len(b.heard) == 40)
        await a.until(lambda: len(a.heard) == 30)
        assert b"".join(frame for _, frame in b.heard) == tone(40)
        assert b"".join(frame for _, frame in a.heard) == tone(30)


async def test_an_idle_line_is_not_silent_on_the_wire(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        await b.until(lambda: b.audio)
        began = len(b.audio)
        await b.until(lambda: len(b.audio) >= began + 150)
        span = b.audio[began + 149][0] - b.audio[began][0]
        assert span == pytest.approx(149 * 0.02, abs=0.06)
        assert {frame for _, frame in b.audio} == {b"\xff" * FRAME}
        assert not a.events


async def test_speech_after_silence_is_neither_cut_nor_late(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        loop = asyncio.get_running_loop()
        delays = []
        for number in range(8):
            await b.until(lambda: b.audio)
            frames = len(b.audio) + 9 + 5 * number  # somewhere in the piece of silence
            await b.until(lambda frames=frames: len(b.audio) >= frames)
            b.audio.clear()
            sent_at = loop.time()
            await a.leg.send(tone(12))
            await b.until(lambda: len(b.heard) == 12)
            assert b"".join(frame for _, frame in b.heard) == tone(12)
            delays.append(b.heard[0][0] - sent_at)
        assert statistics.median(delays) <= 0.025


async def test_audio_at_the_pace_of_speech_arrives_whole(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        tap = a.tap
        assert tap
        await b.until(lambda: b.audio)
        ticks = len(a.audio)
        for number in range(100):  # Asterisk's own ticks are the clock: B's silence comes to A each 20 ms
            await a.until(lambda number=number: len(a.audio) > ticks + number)
            await a.leg.send(tone(100)[number * FRAME : (number + 1) * FRAME])
        await b.until(lambda: len(b.heard) == 100)
        assert b"".join(frame for _, frame in b.heard) == tone(100)
        assert b.heard[-1][0] - b.heard[0][0] == pytest.approx(99 * 0.02, abs=0.1)
        marks = [each for each in tap.said if each["event"] == "MEDIA_MARK_PROCESSED"]
        assert len(marks) <= 8


async def test_twenty_seconds_in_one_go_lie_in_asterisk_for_two_at_most(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        tap = a.tap
        assert tap
        await a.leg.send(tone(1000))
        for heard in (1, 60, 120, 180):
            await b.until(lambda heard=heard: len(b.heard) >= heard)
            await tap.command("GET_STATUS")
        await a.until(lambda: len(tap.statuses()) == 4)
        lengths = [int(str(each["queue_length"])) for each in tap.statuses()]
        assert all(50 <= length <= 100 for length in lengths), lengths
        assert not [each for each in tap.said if each["event"] == "MEDIA_XOFF"]
        await a.leg.flush()


@pytest.mark.parametrize("after", [1, 26, 63])
async def test_a_flush_is_silent_at_once_and_counts_to_the_frame(pbx: Instance, after: int) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        loop = asyncio.get_running_loop()
        await a.leg.send(tone(500))
        await a.leg.mark("never")
        await b.until(lambda: len(b.heard) >= after)
        asked = loop.time()
        unplayed = await a.leg.flush()
        assert loop.time() - asked < 0.2
        ticks = len(b.audio)
        await b.until(lambda: len(b.audio) >= ticks + 25)
        heard = b.heard
        assert heard[-1][0] - asked <= 0.045
        assert abs(len(heard) * 20 + unplayed - 10_000) <= 20
        assert not a.events
        await a.leg.send(tone(5))
        await a.event(Drained)
        await b.until(lambda: len(b.heard) == len(heard) + 5)


async def test_a_flush_ends_a_pause(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a, b = await here.websocket(), await here.websocket()
        tap = a.tap
        assert tap
        await a.leg.send(tone(200))
        await b.until(lambda: len(b.heard) >= 5)
        await tap.command("PAUSE_MEDIA")
        await tap.command("FLUSH_MEDIA")
        await tap.command("GET_STATUS")
        await a.until(tap.statuses)
        assert tap.statuses()[-1]["media_paused"] is True  # which is why a leg's flush does more
        await a.leg.flush()
        before = len(b.heard)
        await a.leg.send(tone(10))
        await b.until(lambda: len(b.heard) == before + 10)


async def test_the_end_of_the_channel_is_told(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a = await here.websocket()
        async with here.http.delete(f"{here.base}/ari/channels/{a.leg.channel_id}") as answer:
            assert answer.status == 204
        await a.event(Closed)
        assert a.events[-1][1] == Closed("Asterisk closed the media connection (websocket code 1000)")
        await a.leg.send(tone(5))
        await a.leg.mark("late")
        assert await a.leg.flush() == 0


async def test_closing_the_leg_ends_the_channel(pbx: Instance) -> None:
    async with studio(pbx) as here:
        a = await here.websocket()
        await a.leg.close()
        await a.leg.close()
        await a.event(Closed("closed by the engine"))
        await here.until(lambda: a.leg.channel_id in here.gone)


async def test_a_connection_that_cannot_be_had_says_why(pbx: Instance) -> None:
    async with studio(pbx) as here:
        with pytest.raises(MediaError, match="unknown or has expired"):
            await open_websocket(here.media, here.base, "no-such", channel_id="x", format="ulaw", frame_size=160)
        channel, variables = await here.connection()
        connection = variables["MEDIA_WEBSOCKET_CONNECTION_ID"]
        first = await open_websocket(
            here.http, here.base, connection, channel_id=channel, format="ulaw", frame_size=160
        )
        with pytest.raises(MediaError, match="connected already"):
            await open_websocket(here.media, here.base, connection, channel_id=channel, format="ulaw", frame_size=160)
        await here.join(first)


async def test_a_format_that_is_not_the_channels_is_noticed(pbx: Instance) -> None:
    async with studio(pbx) as here:
        channel, variables = await here.connection("slin16")
        leg = await open_websocket(
            here.media,
            here.base,
            variables["MEDIA_WEBSOCKET_CONNECTION_ID"],
            channel_id=channel,
            format="ulaw",
            frame_size=640,
        )
        ended = [event async for event in leg.events() if isinstance(event, Closed)]
        assert ended == [Closed("the channel's format is slin16, the leg was opened for ulaw")]
