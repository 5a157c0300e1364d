"""What the engine is to a voice, for the kit: it reads the events, holds the voice to their order, waits for them."""

from __future__ import annotations

import array
import asyncio
import math
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, get_args

from providers.sound import encode
from providers.voice import (
    Audio,
    AudioFormat,
    Failed,
    Ready,
    Session,
    ToolCall,
    TurnDone,
    Voice,
    VoiceEvent,
    VoiceText,
)

WITHIN = 5.0  # seconds for anything that must happen
FRAME_MS = 20


class Owner:
    """Who talks with a voice. ``problems`` are the promises that its events have broken so far."""

    def __init__(self, voice: Voice, session: Session) -> None:
        self.voice = voice
        self.format = session.format
        self.events: list[VoiceEvent] = []
        self.problems: list[str] = []
        self.over = asyncio.Event()
        self._changed = asyncio.Condition()
        self._done: set[str] = set()
        self._calls: set[str] = set()

    async def read(self) -> None:
        """Read everything until the session ends."""
        async for event in self.voice.events():
            self._judge(event)
            self.events.append(event)
            async with self._changed:
                self._changed.notify_all()
        self.over.set()

    def _judge(self, event: VoiceEvent) -> None:
        if not isinstance(event, get_args(VoiceEvent)):
            self.problems.append(f"{event!r} is no event of a voice")
        if not self.events and not isinstance(event, Ready):
            self.problems.append(f"the first event is not Ready but {event}")
        if isinstance(event, Ready) and self.of(Ready):
            self.problems.append("Ready came twice")
        match event:
            case Audio(data, item):
                if item in self._done:
                    self.problems.append(f"audio of {item} came after its TurnDone")
                if not data or len(data) % (2 if self.format.encoding == "pcm16" else 1):
                    self.problems.append(f"{len(data)} bytes are no audio in {self.format}")
            case TurnDone(item=str(item)):
                self._done.add(item)
            case ToolCall(id):
                if id in self._calls:
                    self.problems.append(f"the tool call {id} came twice")
                self._calls.add(id)
            case Failed(message):
                if not message:
                    self.problems.append("a Failed says nothing")

    def of(self, kind: type | tuple[type, ...]) -> list[Any]:
        """The events of this kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def next(self, kind: type | tuple[type, ...], number: int = 0) -> Any:
        """The event of this kind (0: the first), as soon as it is there. Fails with what came instead."""
        try:
            async with asyncio.timeout(WITHIN), self._changed:
                await self._changed.wait_for(lambda: len(self.of(kind)) > number)
        except TimeoutError:
            names = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            came = ", ".join(_briefly(event) for event in self.events) or "nothing"
            raise AssertionError(f"no {names} (number {number}) within {WITHIN:g} s; there came: {came}") from None
        return self.of(kind)[number]

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """For what the other side knows without telling."""
        try:
            async with asyncio.timeout(WITHIN):
                while not holds():  # noqa: ASYNC110 - the other side is the author's: it may have no event
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {WITHIN:g} s: {what}") from None

    async def end(self) -> None:
        """The end of the events."""
        try:
            async with asyncio.timeout(WITHIN):
                await self.over.wait()
        except TimeoutError:
            raise AssertionError(f"events() did not end; the last was {self.events[-1:]}") from None

    async def hear(self, audio: bytes) -> None:
        """Caller audio in frames of 20 ms, as fast as the voice takes them."""
        size = FRAME_MS * self.format.bytes_per_ms
        for start in range(0, len(audio), size):
            await self.voice.send_audio(audio[start : start + size])
            await asyncio.sleep(0)

    async def a_turn(self) -> None:
        """The caller says something and pauses."""
        await self.hear(speech(600, self.format) + silence(1500, self.format))

    def audio_of(self, item: str | None) -> bytes:
        """All audio of an utterance so far."""
        return b"".join(event.data for event in self.of(Audio) if event.item == item)

    def said(self) -> list[str]:
        """The whole texts of what was said."""
        return [event.text.strip() for event in self.of(VoiceText) if event.final]


def _briefly(event: VoiceEvent) -> str:
    return f"Audio({len(event.data)} bytes)" if isinstance(event, Audio) else str(event)


@asynccontextmanager
async def owned(voice: Voice, session: Session) -> AsyncIterator[Owner]:
    """A connected voice with its owner. In the end it is closed, ends its events, and has kept all promises."""
    async with asyncio.timeout(WITHIN):
        await voice.connect()
    owner = Owner(voice, session)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(owner.read())
        try:
            yield owner
        except BaseException:
            reading.cancel()
            raise
        finally:
            async with asyncio.timeout(WITHIN):
                await voice.close()
        await owner.end()
    assert owner.problems == [], owner.problems


def speech(ms: int, format: AudioFormat) -> bytes:
    """A sound that any detector takes for speech: syllables of 160 ms at 300 Hz, with 40 ms between them."""
    rate = format.rate
    samples = array.array("h")
    for n in range(ms * rate // 1000):
        voiced = n % (rate // 5) < rate * 4 // 25
        samples.append(int(12000 * math.sin(2 * math.pi * 300 * n / rate)) if voiced else 0)
    return encode(samples.tobytes(), format)


def silence(ms: int, format: AudioFormat) -> bytes:
    """Nothing."""
    return encode(bytes(2 * (ms * format.rate // 1000)), format)


def held() -> tuple[int, int]:
    """What this process holds that a conversation could have left behind: threads, and sockets where they can be
    counted.
    """
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return threading.active_count(), 0
    sockets = 0
    for name in names:
        try:
            sockets += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return threading.active_count(), sockets


async def nothing_runs(before: set[asyncio.Task[Any]]) -> None:
    """Fail when a task is left that did not run before; one that was cancelled may come to its end."""
    mine = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not mine}
    if left:
        _, left = await asyncio.wait(left, timeout=1.0)
    assert not left, f"tasks were left behind: {left}"
