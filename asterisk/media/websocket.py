"""The websocket driver: a media leg on Asterisk's chan_websocket, where Asterisk owns the 20 ms clock.

Server mode: the engine connects to Asterisk. (In client mode a peer that stops reading freezes the whole of Asterisk up
to 22.10.1; in server mode only its own channel.) The channel comes from ``POST /channels/externalMedia`` with
``transport=websocket encapsulation=none connection_type=server transport_data=f(json)`` and a fresh channel id; its
answer holds the connection id and the frame size; its StasisStart comes only after the connection is made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from types import AsyncGeneratorType
from typing import cast

import aiohttp

from asterisk.media.ahead import WriteAhead
from asterisk.media.control import (
    Digit,
    MarkProcessed,
    MediaError,
    Refused,
    Started,
    Status,
    Xoff,
    Xon,
    command,
    parse,
)
from asterisk.media.leg import Closed, Dtmf, Format, MediaEvent

CONNECT_TIMEOUT = 3.0  # seconds
FLUSH_TIMEOUT = 0.25  # seconds; after it our own count stands
CLOSE_TIMEOUT = 2.0  # seconds
# A caller whose phone sends nothing while it is quiet is no fault: before a connection counts as silent it is asked.
LOOK_EVERY = 0.4  # seconds between two looks at whether anything came
SILENT_LOOKS = 4  # in a row, the first of which asks: 1.2 s to answer


def media_session() -> aiohttp.ClientSession:
    """The HTTP session for all websocket legs of an engine; one for itself, for two reasons.

    Every leg holds a connection, so there must be no limit. And Asterisk closes a connection after it refused a
    websocket, without saying so: in a pool that ARI shares, the next ARI request would break on it (measured).
    """
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


async def open_websocket(
    http: aiohttp.ClientSession,
    base_url: str,
    connection_id: str,
    *,
    channel_id: str,
    format: Format,
    frame_size: int,
) -> WebSocketLeg:
    """Connect to ``<base_url>/media/<connection_id>``.

    ``http`` is a `media_session`; ``connection_id`` and ``frame_size`` (bytes) are MEDIA_WEBSOCKET_CONNECTION_ID and
    MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE of the POST's ``channelvars``. Raises `MediaError`.
    """
    url = f"{base_url.rstrip('/')}/media/{connection_id}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            socket = await http.ws_connect(
                url,
                protocols=("media",),
                compress=0,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            )
    except TimeoutError:
        raise MediaError(f"{url}: no answer in {CONNECT_TIMEOUT:g} s; is Asterisk's HTTP server reachable?") from None
    except aiohttp.WSServerHandshakeError as error:
        why = {404: "this connection id is unknown or has expired", 409: "this connection id is connected already"}
        raise MediaError(f"{url}: Asterisk refused, {error.status}: {why.get(error.status, error.message)}") from error
    except aiohttp.ClientError as error:
        raise MediaError(f"{url}: {error}; is Asterisk's HTTP server reachable?") from error
    return WebSocketLeg(socket, channel_id=channel_id, format=format, frame_size=frame_size)


class WebSocketLeg:
    """A `MediaLeg` on one connection. See `asterisk.media.ahead` for what is written when."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, *, channel_id: str, format: Format, frame_size: int
    ) -> None:
        self.channel_id = channel_id
        self.format = format
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._frame = frame_size
        self._ahead = WriteAhead(format, frame_size, self._now())
        self._outbox = self._ahead.outbox
        self._asked: deque[asyncio.Future[Status]] = deque()  # flushes that wait for Asterisk's count
        self._pumping = False
        self._closed: str | None = None  # why
        self._feeding: asyncio.Task[object] | None = None
        self._alarm: asyncio.Handle = self._loop.call_soon(self._wake)
        self._alarm_at = self._now()
        self._heard = True  # something came since the last look
        self._silent_looks = 0
        self._silent = 0.0  # seconds, when it was given up for its silence
        self._looking = self._loop.call_later(LOOK_EVERY, self._look)
        self._reader = cast(AsyncGeneratorType[MediaEvent, None], self._read())

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone, whoever closed it."""
        return self._closed is not None

    async def send(self, audio: bytes) -> None:
        """Hand over audio of any length to play after what was handed over before. After close does nothing."""
        size = len(audio)
        if 0 < size <= self._ahead.room and not size % self._frame and not self._outbox:
            self._ahead.direct(size, self._now())
            try:
                await self._socket.send_bytes(audio)
            except ConnectionError as error:
                self._lost(error)
        elif self._closed is None and size:
            self._ahead.send(audio, self._now())
            await self._pump()

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` when everything handed over so far was played. After close does nothing."""
        if self._closed is None:
            self._ahead.mark(name, self._now())
            await self._pump()

    async def flush(self) -> int:
        """Throw away what was not played yet, here and in Asterisk; returns how many milliseconds that were.

        Asterisk's own count is awaited (at most `FLUSH_TIMEOUT`) while `events` is being awaited by another task; else,
        or when it does not come, our count stands, which is right within a frame. Marks behind it never come, nor does
        `Drained`: what returns here is drained.
        """
        if self._closed is not None:
            return 0
        flushed = self._ahead.flush(self._now())
        if not flushed.asked:
            return flushed.estimated_ms
        answer: asyncio.Future[Status] = self._loop.create_future()
        self._asked.append(answer)
        await self._pump()
        if not self._reader.ag_running:
            return flushed.estimated_ms
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                return flushed.exact_ms(await answer)
        except TimeoutError:
            return flushed.estimated_ms

    def events(self) -> AsyncGenerator[MediaEvent, None]:
        """Caller audio as Asterisk sent it (bytes, usually 20 ms) and events, in order; `Closed` is the last."""
        return self._reader

    async def close(self) -> None:
        """Close the connection; Asterisk then hangs the leg's channel up. Idempotent."""
        self._end("closed by the engine")
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait([self._feeding])
        await self._socket.close()

    async def _read(self) -> AsyncGenerator[MediaEvent, None]:
        receive = self._socket.receive
        binary, text = aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT
        while True:
            message = await receive()
            self._heard = True
            if message.type is binary:
                yield message.data
            elif message.type is text:
                try:
                    events = self._control(message.data)
                except MediaError as error:
                    self._end(str(error))
                    break
                if self._outbox:
                    await self._pump()
                for event in events:
                    yield event
            else:
                code = self._socket.close_code
                self._end(f"Asterisk closed the media connection (websocket code {code})")
                break
        if not self._silent:  # else nobody answers: `close` ends it, whoever comes next need not wait
            await self.close()
        yield Closed(self._closed or "", self._silent)

    def _control(self, text: str) -> list[MediaEvent]:
        event = parse(text)
        now = self._now()
        match event:
            case MarkProcessed():
                return [*self._ahead.processed(event, now)]
            case Status() if self._asked:
                answer = self._asked.popleft()
                if not answer.done():
                    answer.set_result(event)
            case Digit(digit):
                return [Dtmf(digit)]
            case Xoff() | Xon():
                self._ahead.hold(isinstance(event, Xoff), now)
            case Started() if event.format != self.format:
                raise MediaError(f"the channel's format is {event.format}, the leg was opened for {self.format}")
            case Refused(why):
                raise MediaError(f"chan_websocket refused a command: {why}")
        return []

    async def _pump(self) -> None:
        """Write what waits, in order, whoever comes; then see when the line must be fed again."""
        if self._pumping:
            return
        self._pumping = True
        outbox, socket = self._outbox, self._socket
        try:
            while outbox:
                item = outbox.popleft()
                if isinstance(item, str):
                    await socket.send_str(item)
                else:
                    await socket.send_bytes(item)
        except ConnectionError as error:
            self._lost(error)
        finally:
            self._pumping = False
        wake_at = self._ahead.wake_at
        if self._closed is None and wake_at < self._alarm_at:
            self._set_alarm(wake_at)

    def _set_alarm(self, at: float) -> None:
        self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        """A few times a second at most; it re-arms itself, so that sending audio costs no timer."""
        now = self._now()
        if self._ahead.is_deaf(now):
            self._end("Asterisk stopped answering on the media connection")
            self._feeding = self._loop.create_task(self._socket.close())
            return
        self._set_alarm(self._ahead.wake(now))
        if self._outbox and not self._pumping:
            self._feeding = self._loop.create_task(self._pump())

    def _look(self) -> None:
        """Has anything come? Where nobody reads nothing can; and what came while we were held up counts."""
        if self._heard or not self._reader.ag_running:
            self._heard, self._silent_looks = False, 0
        else:
            self._silent_looks += 1
        if self._silent_looks == SILENT_LOOKS:
            self._silent = (SILENT_LOOKS + 1) * LOOK_EVERY  # at most; words twice are better than words lost
            self._end(f"Asterisk has said nothing on the media connection for {self._silent:g} s")
            self._feeding = self._loop.create_task(self._socket.close())
            return
        if self._silent_looks:
            self._asked.append(self._loop.create_future())
            self._outbox.append(command("GET_STATUS"))
            if not self._pumping:
                self._feeding = self._loop.create_task(self._pump())
        self._looking = self._loop.call_later(LOOK_EVERY, self._look)

    def _lost(self, error: ConnectionError) -> None:
        self._end(f"the media connection broke: {error}")

    def _end(self, why: str) -> None:
        if self._closed is None:
            self._closed = why
            self._alarm.cancel()
            self._looking.cancel()
            self._ahead.room = -1
