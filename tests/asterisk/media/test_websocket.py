"""The websocket leg's own behaviour, against a server that speaks as chan_websocket does (see simulated.py)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from asterisk.media.control import MediaError
from asterisk.media.leg import Closed, Drained, Dtmf, MarkReached, MediaEvent
from asterisk.media.websocket import WebSocketLeg, media_session, open_websocket

from .simulated import TICK, SimulatedQueue

FRAME = 160
START = json.dumps(
    {"event": "MEDIA_START", "channel_id": "c", "format": "ulaw", "optimal_frame_size": FRAME, "ptime": 20}
)


class Exchange:
    """A server with one simulated channel; the test moves its clock with `play`."""

    def __init__(self) -> None:
        self.queue = SimulatedQueue(FRAME)
        self.socket: web.WebSocketResponse | None = None
        self.connected = asyncio.Event()
        self.written = asyncio.Event()
        self.answering = True
        self.protocols: str | None = None
        self.extensions: str | None = None
        self._clock = 0.0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.protocols = request.headers.get("Sec-WebSocket-Protocol")
        self.extensions = request.headers.get("Sec-WebSocket-Extensions")
        self.socket = web.WebSocketResponse(protocols=("media",), compress=False)
        await self.socket.prepare(request)
        self.connected.set()
        async for message in self.socket:
            self.queue.write(message.data)
            self.written.set()
            await self.answer()
        return self.socket

    async def answer(self) -> None:
        assert self.socket
        while self.queue.answers and self.answering:
            await self.socket.send_str(self.queue.answers.popleft())

    async def play(self, frames: int) -> None:
        self._clock += frames * TICK
        self.queue.run_to(self._clock)
        await self.answer()

    async def until(self, what) -> None:
        async with asyncio.timeout(5):
            while not what():
                self.written.clear()
                await self.written.wait()


@pytest.fixture
async def exchange() -> AsyncIterator[tuple[Exchange, WebSocketLeg]]:
    here = Exchange()
    app = web.Application()
    app.router.add_get("/media/known", here.serve)
    async with TestServer(app) as server, media_session() as http:
        leg = await open_websocket(
            http, str(server.make_url("")), "known", channel_id="c", format="ulaw", frame_size=160
        )
        await here.connected.wait()
        yield here, leg
        await leg.close()


async def collect(leg: WebSocketLeg, into: list[MediaEvent]) -> None:
    async for event in leg.events():
        into.append(event)


async def test_the_handshake_asks_for_the_protocol_and_for_no_compression(exchange) -> None:
    here, _ = exchange
    assert here.protocols == "media"
    assert here.extensions is None


async def test_audio_and_digits_come_in_order_even_before_media_start(exchange) -> None:
    here, leg = exchange
    await here.socket.send_bytes(b"\1" * 160)
    await here.socket.send_str(START)
    await here.socket.send_bytes(b"\2" * 160)
    await here.socket.send_str('{"event":"DTMF_END","digit":"4"}')
    events = leg.events()
    assert [await anext(events) for _ in range(3)] == [b"\1" * 160, b"\2" * 160, Dtmf("4")]


async def test_a_mark_and_the_end_of_the_audio_are_told(exchange) -> None:
    here, leg = exchange
    await here.until(lambda: here.queue.frames == 50)  # the silence of an idle line
    await leg.send(b"\1" * 160 * 3)
    await leg.mark("m")
    await here.until(lambda: here.queue.frames == 5)  # our three, and the first silence behind them
    await here.play(4)
    events = leg.events()
    assert [await anext(events), await anext(events)] == [MarkReached("m"), Drained()]
    await leg.close()
    assert await anext(events) == Closed("closed by the engine")


async def test_a_flush_that_asterisk_does_not_answer_stands_on_our_own_count(exchange, monkeypatch) -> None:
    monkeypatch.setattr("asterisk.media.websocket.FLUSH_TIMEOUT", 0.02)
    here, leg = exchange
    here.answering = False
    listening = asyncio.create_task(collect(leg, []))
    await leg.send(b"\1" * 160 * 500)
    assert 9900 <= await leg.flush() <= 10_000
    await leg.close()
    await listening


async def test_a_flush_by_whoever_iterates_does_not_wait_for_itself(exchange) -> None:
    here, leg = exchange
    await leg.send(b"\1" * 160 * 500)
    await here.socket.send_bytes(b"\2" * 160)
    async for event in leg.events():
        if event == b"\2" * 160:
            async with asyncio.timeout(0.2):
                assert 9900 <= await leg.flush() <= 10_000
            break


async def test_flushes_in_a_row_each_get_their_own_count(exchange) -> None:
    _, leg = exchange
    listening = asyncio.create_task(collect(leg, []))
    await asyncio.sleep(0)
    await leg.send(b"\1" * 160 * 10)
    first = asyncio.create_task(leg.flush())
    await asyncio.sleep(0)
    await leg.send(b"\1" * 160 * 25)
    assert await leg.flush() == 500
    assert await first == 200
    await leg.close()
    await listening


async def test_messages_keep_their_order_when_many_write_at_once(exchange) -> None:
    here, leg = exchange
    listening = asyncio.create_task(collect(leg, []))
    await asyncio.gather(*(leg.send(bytes([number]) * 160) for number in range(1, 101)))
    await here.until(lambda: here.queue.frames >= 100)
    frames = [item[0] for item in here.queue.queue if isinstance(item, bytes) and item[0] != 0xFF]
    assert frames == list(range(1, 101))
    await leg.close()
    await listening


async def test_plain_text_control_ends_the_leg_and_says_what_is_wrong(exchange) -> None:
    here, leg = exchange
    await here.socket.send_str("MEDIA_START connection_id:x channel:y format:ulaw optimal_frame_size:160")
    [event] = [event async for event in leg.events()]
    assert isinstance(event, Closed)
    assert "f(json)" in event.reason


async def test_an_error_that_asterisk_reports_ends_the_leg(exchange) -> None:
    here, leg = exchange
    await here.socket.send_str('{"event":"ERROR","error_text":"passthrough"}')
    assert [event async for event in leg.events()] == [Closed("chan_websocket refused a command: passthrough")]


async def test_a_deaf_asterisk_is_given_up(exchange, monkeypatch) -> None:
    monkeypatch.setattr("asterisk.media.ahead.DEAF_S", 0.01)
    here, leg = exchange
    here.answering = False
    await leg.send(b"\1" * 160 * 2)
    await leg.mark("m")
    async with asyncio.timeout(5):
        assert [event async for event in leg.events()] == [Closed("Asterisk stopped answering on the media connection")]


async def test_a_connection_on_which_nothing_comes_is_asked_and_given_up(exchange, monkeypatch) -> None:
    monkeypatch.setattr("asterisk.media.websocket.LOOK_EVERY", 0.02)
    here, leg = exchange
    here.answering = False
    async with asyncio.timeout(5):
        [closed] = [event async for event in leg.events()]
    assert closed.silent == pytest.approx(0.1)
    assert "has said nothing" in closed.reason


async def test_a_caller_who_sends_nothing_is_no_silence(exchange, monkeypatch) -> None:
    monkeypatch.setattr("asterisk.media.websocket.LOOK_EVERY", 0.005)
    _, leg = exchange  # it answers
    got: list[MediaEvent] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await collect(leg, got)
    assert got == []
    assert not leg.is_closed


async def test_where_nobody_reads_nothing_is_missed(exchange, monkeypatch) -> None:
    monkeypatch.setattr("asterisk.media.websocket.LOOK_EVERY", 0.001)
    here, leg = exchange
    here.answering = False
    await asyncio.sleep(0.05)
    assert not leg.is_closed


async def test_a_dropped_connection_is_told_and_writing_does_nothing(exchange) -> None:
    here, leg = exchange
    here.socket._req.transport.abort()
    [event] = [event async for event in leg.events()]
    assert isinstance(event, Closed)
    await leg.send(b"\1" * 160)
    await leg.mark("m")
    assert await leg.flush() == 0


async def test_cancelling_whoever_iterates_leaves_nothing_behind(exchange) -> None:
    _, leg = exchange
    before = asyncio.all_tasks()
    listening = asyncio.create_task(collect(leg, []))
    await asyncio.sleep(0)
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening
    await leg.close()
    assert asyncio.all_tasks() <= before
    assert leg._alarm.cancelled()


async def test_an_asterisk_that_is_not_there_says_so(unused_tcp_port: int) -> None:
    async with media_session() as http:
        with pytest.raises(MediaError, match="is Asterisk's HTTP server reachable"):
            await open_websocket(
                http, f"http://127.0.0.1:{unused_tcp_port}", "x", channel_id="c", format="ulaw", frame_size=160
            )


async def test_a_server_that_never_finishes_the_handshake_is_not_waited_for(monkeypatch) -> None:
    monkeypatch.setattr("asterisk.media.websocket.CONNECT_TIMEOUT", 0.05)
    kept: list[object] = []  # dropped, a connection would be closed
    server = await asyncio.start_server(lambda *ends: kept.append(ends), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with media_session() as http:
        with pytest.raises(MediaError, match="no answer in"):
            await open_websocket(http, f"http://127.0.0.1:{port}", "x", channel_id="c", format="ulaw", frame_size=160)
    server.close()


def test_the_session_of_the_legs_has_no_limit_and_no_pool() -> None:
    async def look() -> tuple[int, bool]:
        async with media_session() as http:
            assert isinstance(http.connector, aiohttp.BaseConnector)
            return http.connector.limit, http.connector.force_close

    assert asyncio.run(look()) == (0, True)
