"""A session over a websocket: the I/O around a protocol of JSON and base64 audio (`Wire`), shared by many vendors.

One task of the owner reads (``events``); its other tasks write. There is no queue and no task in between, so an idle
conversation costs nothing and a frame costs one JSON text and one system call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    WSMessage,
    WSMsgType,
    WSServerHandshakeError,
)

from providers.realtime_owed import Owing, owed
from providers.voice import Expiring, Failed, Metered, Resumed, Tool, Usage, VoiceError, VoiceEvent, Warned
from providers.wire import Events, Wire

HEARTBEAT = 20.0  # seconds between pings of an idle socket
MAX_FRAME = 16 * 2**20  # bytes
CONNECT_TIMEOUT = 15.0  # seconds, for the upgrade and the first exchange together
SEND_TIMEOUT = 5.0  # seconds that the provider may refuse to read
CLOSE_TIMEOUT = 1.0
STUCK = 48 * 1024  # bytes of caller audio (4 s) waiting for a provider that does not read; then audio is dropped
EXPIRY_NOTICE = 120.0  # seconds
EXPIRES_AFTER = 3600.0  # seconds, when the provider does not tell

# Codes (RFC 6455 7.4) after which a new session may succeed; the others say that we or our account did something wrong.
RECOVERABLE_CLOSES = frozenset({1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015})
ADVICE = {
    400: "the request was refused: check the model and the base URL",
    401: "the API key is wrong or missing",
    403: "the API key may not use this model",
    404: "there is no such model or the base URL is wrong",
    429: "too many requests or the quota is used up",
}

HELD = 100  # frames of caller audio (2 s) kept while the connection is changed
RESUME_TIMEOUT = 4.0  # seconds to continue a session on another connection
LOOK = 0.5  # seconds between looks for a quiet moment to change it


class RealtimeSocket(ClientWebSocketResponse):
    """A websocket that knows how much of what was written still waits for the network."""

    def __init__(self, reader: Any, writer: Any, *args: Any, **options: Any) -> None:
        super().__init__(reader, writer, *args, **options)
        self.transport: asyncio.WriteTransport = writer.transport
        self.write = writer.send_frame  # without the layer of `send_frame`, 50 times a second


def open_http() -> ClientSession:
    """The HTTP session that all conversations of a provider share. Call it inside a running loop."""
    return ClientSession(connector=TCPConnector(limit=0), ws_response_class=RealtimeSocket)


class RealtimeConnection:
    """One session, whatever it is for: audio goes up, events come down.

    ``batch_ms`` gathers caller audio into larger frames (0: every frame goes out at once); ``answer_timeout`` is how
    long an answer may take to begin before a `Failed` (recoverable, code ``stalled``) says so; ``expires_after`` the
    seconds of a session when the provider does not tell.
    """

    def __init__(
        self,
        name: str,
        http: Callable[[], ClientSession],
        url: str,
        headers: Mapping[str, str],
        realtime: Wire,
        *,
        batch: int = 0,
        answer_timeout: float = 15.0,
        expires_after: float | None = None,
    ) -> None:
        self._name = name
        self._http = http
        self._url = url
        self._headers = headers
        self._realtime = realtime
        self._batch = batch  # bytes
        self._gathered = b""
        self._held: list[bytes] | None = None  # caller audio while the connection is changed
        self._answer_timeout = answer_timeout
        self._expires_after = EXPIRES_AFTER if expires_after is None else expires_after
        self._socket: RealtimeSocket | None = None
        self._writing = asyncio.Lock()
        self._early: list[VoiceEvent] = []
        self._dropped = 0
        self._failure: Failed | None = None
        self._notice_at = 0.0  # on the loop's clock
        self._owed: list[Usage] = []  # told when nobody read the events any more

    # ── beginning and end ─────────────────────────────────────────────────────────────────────────────────────────────

    async def connect(self) -> None:
        """Open the socket and configure the session. Raises `VoiceError`; nothing is left open when it does."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._open()
        except TimeoutError:
            self._abort()
            text = f"{self._name} did not answer within {CONNECT_TIMEOUT:.0f} s"
            raise VoiceError(text, code="timeout", recoverable=True) from None
        except BaseException:
            self._abort()
            raise
        left = self._expires_after if self._realtime.expires_at is None else self._realtime.expires_at - time.time()
        self._notice_at = asyncio.get_running_loop().time() + left - EXPIRY_NOTICE

    async def _open(self) -> None:
        self._socket = socket = await self._upgrade()
        await self._flush()
        while not self._realtime.ready:
            await self._configure(socket)

    async def _resume(self) -> bool:
        """Continue the session on another connection, if the protocol can. What the caller says meanwhile is kept."""
        if not self._realtime.resume():
            return False
        old, self._held = self._socket, []
        try:
            async with asyncio.timeout(RESUME_TIMEOUT):
                await self._open()
        except (VoiceError, TimeoutError):
            self._abort()
            self._realtime.over = True
            return False
        finally:
            if old is not None:
                old.transport.abort()
            held, self._held = self._held, None
        self._early.clear()
        for audio in held:
            await self.send_audio(audio)
        return True

    async def _upgrade(self) -> RealtimeSocket:
        try:
            socket = await self._http().ws_connect(
                self._url,
                headers=self._headers,
                heartbeat=HEARTBEAT,
                autoping=False,  # pongs wake the reader of an idle session, which is when it looks at the clock
                compress=0,
                max_msg_size=MAX_FRAME,
                timeout=ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            )
        except WSServerHandshakeError as error:
            # Not chained: the handshake error holds the request's headers, and with them the key.
            raise refused(self._name, error.status) from None
        except (ClientError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            text = f"{self._name} cannot be reached: {reason}; check the network and the base URL"
            raise VoiceError(text, code="unreachable", recoverable=True) from None
        assert isinstance(socket, RealtimeSocket)
        return socket

    async def _configure(self, socket: RealtimeSocket) -> None:
        message = await socket.receive()
        for event in await self._take(socket, message):
            if isinstance(event, Failed):
                text = f"{self._name} refused the session: {event.message}"
                raise VoiceError(text, code=event.code, recoverable=event.recoverable)
            self._early.append(event)

    def _abort(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None

    async def close(self) -> None:
        """Say goodbye and close; a provider that does not answer is left after a second."""
        wire = self._realtime
        if self._socket is not None and isinstance(wire, Owing) and wire.owes and not wire.over:
            wire.interrupt()
            await self._flush()
        socket, self._socket = self._socket, None
        if socket is not None:
            if isinstance(wire, Owing):
                self._owed += await owed(socket, wire)
            await socket.close()

    def settle(self) -> Sequence[Usage]:
        """What was used beside what the events told."""
        told, self._owed = self._owed, []
        return [*told, *(self._realtime.settle() if isinstance(self._realtime, Metered) else ())]

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def events(self) -> AsyncIterator[VoiceEvent]:
        """Everything that happens, until the session ends or `close`."""
        realtime, clock = self._realtime, asyncio.get_running_loop().time
        for event in self._early:
            yield event
        while (socket := self._socket) is not None:
            if clock() >= self._notice_at:
                yield self._expiring(clock())
            try:
                message = await socket.receive(self._patience())
            except TimeoutError:
                for event in await self._nothing_came():
                    yield event
                if realtime.over:
                    await self.close()
                continue
            events = (
                self._receive(message.data) if message.type is WSMsgType.TEXT else await self._take(socket, message)
            )
            if realtime.over and _may_go_on(events) and await self._resume():
                yield Resumed()
                continue
            if realtime.out:
                await self._flush()
            if self._dropped:
                yield self._lost_audio()
            for event in events:
                yield event
            if realtime.over:
                await self.close()

    async def _nothing_came(self) -> Events:
        """What it means that no frame came for as long as `_patience` told."""
        realtime = self._realtime
        if realtime.leaving and not realtime.expecting:
            return (Resumed(),) if realtime.quiet and await self._resume() else ()
        realtime.give_up_waiting()
        await self._flush()
        text = f"{self._name} gave no answer within {self._answer_timeout:g} s"
        return (Failed(text, code="stalled", recoverable=True),)

    def _patience(self) -> float | None:
        """How long to wait for a frame."""
        if self._realtime.expecting:
            return self._answer_timeout
        return LOOK if self._realtime.leaving else None

    def _receive(self, frame: str | bytes) -> Events:
        """What a frame of text or bytes means."""
        return self._realtime.receive(frame)

    async def _take(self, socket: RealtimeSocket, message: WSMessage) -> Events:
        """What a frame of any type means."""
        match message.type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                events = self._receive(message.data)
                await self._flush()
                return events
            case WSMsgType.PING:
                await socket.pong(message.data)
                return ()
            case WSMsgType.PONG:
                return ()
        self._realtime.over = True
        if self._socket is None:
            return ()  # we closed it
        return (self._failure or self._closed(socket, message),)

    def _closed(self, socket: RealtimeSocket, message: WSMessage) -> Failed:
        code = socket.close_code or 1006
        reason = f": {message.extra}" if isinstance(message.extra, str) and message.extra else ""
        how = "lost the connection" if code == 1006 else f"closed the session with code {code}"
        return Failed(f"{self._name} {how}{reason}", code=f"close_{code}", recoverable=code in RECOVERABLE_CLOSES)

    def _expiring(self, now: float) -> Expiring:
        left = self._notice_at + EXPIRY_NOTICE - now
        self._notice_at = float("inf")
        return Expiring(max(0.0, left))

    def _lost_audio(self) -> Warned:
        lost, self._dropped = self._dropped, 0
        return Warned(f"{self._name} does not keep up: {lost} frames of caller audio were not sent", "backlog")

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send_audio(self, audio: bytes) -> None:
        """Send caller audio. Never waits for the provider: what it does not take is dropped and warned about."""
        socket = self._socket
        if self._held is not None:
            if len(self._held) < HELD:
                self._held.append(audio)
            return
        if socket is None:
            return
        if self._batch:
            audio = self._gathered = self._gathered + audio
            if len(audio) < self._batch:
                return
            self._gathered = b""
        if socket.transport.get_write_buffer_size() > STUCK:
            self._dropped += 1
            return
        try:
            await socket.write(self._realtime.append(audio), WSMsgType.TEXT)
        except (ConnectionError, ClientConnectionError):
            return  # the reader is told how it ended

    async def _flush(self) -> None:
        """Send what the dialect has to say, in its order. A provider that does not read loses the session."""
        out = self._realtime.out
        async with self._writing:
            while out and (socket := self._socket) is not None:
                try:
                    async with asyncio.timeout(SEND_TIMEOUT):
                        await socket.send_str(out.popleft())
                except TimeoutError:
                    text = f"{self._name} read nothing for {SEND_TIMEOUT:.0f} s"
                    self._failure = Failed(text, code="backlog", recoverable=True)
                    socket.transport.abort()
                except (ConnectionError, ClientConnectionError):
                    out.clear()  # the reader is told how it ended


class RealtimeVoice(RealtimeConnection):
    """One conversation. See `providers.voice.Voice` for what the methods promise."""

    async def say(self, text: str) -> None:
        """Have this text spoken; the model is told to be exact."""
        if text.strip():
            self._realtime.say(text)
            await self._flush()

    async def answer(self) -> None:
        """Ask for an answer to what was said before."""
        self._realtime.answer()
        await self._flush()

    async def interrupt(self) -> None:
        """Cancel the answer that is being given."""
        self._realtime.interrupt()
        await self._flush()

    async def truncate(self, item: str, played_ms: int) -> None:
        """Tell the model how much of ``item`` was heard; more than was received is corrected, nothing is not sent."""
        self._realtime.truncate(item, played_ms)
        await self._flush()

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Hand in the result of a tool; the last one of a turn asks for the answer."""
        self._realtime.tool_result(call_id, output, respond=respond)
        await self._flush()

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Change instructions and tools."""
        self._realtime.update(instructions, tools)
        await self._flush()


def _may_go_on(events: Events) -> bool:
    """Whether a session ended in a way that another connection may mend."""
    return bool(events) and isinstance(events[-1], Failed) and events[-1].recoverable


def refused(name: str, status: int) -> VoiceError:
    """The error for an upgrade that was answered with an HTTP status instead."""
    advice = ADVICE.get(status, "the service has a problem; try again" if status >= 500 else "check the base URL")
    recoverable = status in (408, 425, 429) or status >= 500
    return VoiceError(
        f"{name} refused the connection with HTTP {status}: {advice}", code=f"http_{status}", recoverable=recoverable
    )
