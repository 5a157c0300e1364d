"""The I/O of a voice that listens while it speaks: the websocket as ever, and beside it the work that it delegates."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from aiohttp import ClientConnectionError, ClientSession

from providers.delegate import Delegate, Errands
from providers.duplex import Duplex
from providers.realtime_socket import RealtimeVoice
from providers.voice import Failed, Tool, ToolCall, TurnDone, Usage, Used, VoiceError, VoiceEvent, Warned

TICK = 0.2  # seconds between looks at the clock while somebody speaks
HANG_UP_WITHIN = 0.7  # seconds for the service to tell its final count
SPOKEN_WITHIN = 15.0  # seconds for the words before the end of a talk
EXCUSE = (
    "What you handed on could not be done, because something is out of order. Tell the caller so in one short sentence "
    "and in their language, and go on."
)


class Inbox:
    """Events for the owner, in order; None is the last. One waits at a time: a queue for many costs twice as much."""

    def __init__(self) -> None:
        self._events: deque[VoiceEvent | None] = deque()
        self._waiting: asyncio.Future[None] | None = None

    def put(self, event: VoiceEvent | None) -> None:
        """This comes next."""
        self._events.append(event)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def get(self) -> VoiceEvent | None:
        """The next event, as soon as there is one."""
        while not self._events:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._events.popleft()

    def take(self) -> list[VoiceEvent | None]:
        """Everything that nobody waited for."""
        left = list(self._events)
        self._events.clear()
        return left


class DuplexVoice(RealtimeVoice):
    """One conversation. ``delegate`` does the work; None: the vendor's own text model does.

    Three tasks run from the first look at `events` until `close`: one reads the socket, one looks at the clock,
    one works.
    """

    def __init__(
        self, name: str, http: Callable[[], ClientSession], url: str, headers: Mapping[str, str], wire: Duplex, *,
        delegate: Delegate | None = None, batch: int = 0, expires_after: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, http, url, headers, wire, batch=batch, expires_after=expires_after)
        self._wire = wire
        self._delegate = delegate
        self._inbox = Inbox()
        self._work: asyncio.Queue[str] = asyncio.Queue()
        self._silent = asyncio.Event()  # nothing is being said, and nothing is about to be
        self._tasks: list[asyncio.Task[None]] = []
        wire.hand_on = self._work.put_nowait

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def events(self) -> AsyncIterator[VoiceEvent]:
        """Everything that happens, until the session ends or `close`."""
        reading = asyncio.create_task(self._read(), name=f"{self._name} reads")
        self._tasks = [
            reading,
            asyncio.create_task(self._beside(self._tick), name=f"{self._name} looks at the clock"),
            asyncio.create_task(self._beside(self._work_off), name=f"{self._name} works"),
        ]
        try:
            while (event := await self._inbox.get()) is not None:
                yield event
            if not reading.cancelled():
                await reading  # what failed in it fails here
        finally:
            await self._stop()

    async def _read(self) -> None:
        try:
            async for event in super().events():
                self._inbox.put(event)
                self._note_silence()
        finally:
            self._inbox.put(None)

    def _receive(self, frame: str | bytes) -> Sequence[VoiceEvent]:
        """What a frame means is told at once: before it is answered `_tick` may have something to tell."""
        events = super()._receive(frame)
        if not self._tasks:
            return events
        for event in events:
            self._inbox.put(event)
        self._note_silence()
        return ()

    async def _beside(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work beside the reading. A session in which it failed would never notice a pause or an end: it is over, and
        the reader tells why.
        """
        try:
            await work()
        except Exception as error:
            why = self._wire.clean(f"{self._name} failed inside: {type(error).__name__}: {error}")
            self._failure = Failed(why, code="internal", recoverable=True)
            if self._socket is not None:
                self._socket.transport.abort()

    def _note_silence(self) -> None:
        silent = not (self._wire.speaking or self._wire.expecting)
        if silent != self._silent.is_set():
            (self._silent.set if silent else self._silent.clear)()

    def _patience(self) -> float | None:
        """For ever: `_tick` looks at the clock. A timer for each frame would cost as much as the frame."""
        return None

    async def _tick(self) -> None:
        wire = self._wire
        while not wire.over:
            await asyncio.sleep(TICK)
            if wire.ticking and not wire.over:
                for event in wire.tick():
                    self._inbox.put(event)
                self._note_silence()
                await self._flush()
                if wire.over:
                    self._abort()  # which ends the reading

    # ── the work ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _work_off(self) -> None:
        while True:
            work = await self._work.get()
            if self._delegate is not None:
                await self._do(self._delegate, work)

    async def _do(self, delegate: Delegate, work: str) -> None:
        """One delegation, to its end. However late the result is, it names what it answers."""

        async def say(words: str) -> None:
            self._wire.say(words, work)
            self._silent.clear()
            await self._flush()

        def call(tools: Sequence[ToolCall]) -> None:
            for tool in tools:
                self._inbox.put(tool)
            self._inbox.put(TurnDone("completed", self._wire.take_spent()))  # now: a tool may end the talk

        errands = Errands(call, say, self._spoken, self._wire.spend)
        try:
            words = await delegate.work(self._wire.words_so_far(), errands)
        except Exception as error:  # whatever a model or a server makes of it, the talk goes on
            why = self._wire.clean(str(error) if isinstance(error, VoiceError) else f"{type(error).__name__}: {error}")
            self._inbox.put(Warned(f"the work behind the voice failed: {why}", "work"))
            self._inbox.put(TurnDone("failed", self._wire.take_spent(), detail=why))
            self._wire.instruct(EXCUSE, work)
            await self._flush()
            return
        if words:
            await say(words)
        else:
            self._inbox.put(TurnDone("completed", self._wire.take_spent()))  # nothing is owed

    async def _spoken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SPOKEN_WITHIN):
                await self._silent.wait()

    # ── commands that differ ──────────────────────────────────────────────────────────────────────────────────────────

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Hand in the result of a tool to whoever asked for it."""
        if self._delegate is None or not self._delegate.result(call_id, output, respond=respond):
            await super().tool_result(call_id, output, respond=respond)

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Change instructions and tools, of the voice and of whoever works for it."""
        if self._delegate is not None:
            self._delegate.instructions = self._delegate.instructions if instructions is None else instructions
            self._delegate.tools = self._delegate.tools if tools is None else tuple(tools)
        await super().update(instructions=instructions, tools=tools)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def close(self) -> None:
        """Ask for the end, which counts the session to its last second, and close; within two seconds."""
        by_itself = asyncio.current_task() in self._tasks  # then somebody still reads
        await self._stop()
        socket, wire = self._socket, self._wire
        if socket is not None and wire.ready and not wire.over:
            wire.hang_up()
            with suppress(TimeoutError, ClientConnectionError, ConnectionError):
                async with asyncio.timeout(HANG_UP_WITHIN):
                    await self._flush()
                    while not wire.over and self._socket is not None:
                        events = await self._take(socket, await socket.receive())
                        self._owed += [event.usage for event in events if isinstance(event, Used)]
        if not by_itself:
            self._owed += self._unread()
        await super().close()

    def _unread(self) -> list[Usage]:
        """What was used and told when nobody read the events any more."""
        left = []
        for event in self._inbox.take():
            if isinstance(event, Used | TurnDone) and event.usage != Usage():
                left.append(event.usage)
        self._inbox.put(None)
        return left

    async def _stop(self) -> None:
        """End the tasks. Somebody who still waits for events is told that there are no more."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks = []
        self._inbox.put(None)
