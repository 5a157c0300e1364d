"""A virtual leg: a second party who rings, answers or will not, presses keys and hangs up, as the table says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from engine.line import DialOptions, DialResult, DialStatus, Ending, LineError, LineGone
from engine.virtual.log import Log
from engine.virtual.media import VirtualMedia
from engine.virtual.targets import Target
from engine.virtual.words import spoken

_FRAME: Final = 160  # bytes: 20 ms


class Keys:
    """Keys that were pressed and not read yet. When the party is gone, reading raises `LineGone`."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._first = 0  # the number of the first of them
        self._changed = asyncio.Event()
        self._gone = False

    def press(self, key: str) -> None:
        """One more key."""
        self._keys.append(key)
        self._changed.set()

    def forget(self) -> None:
        """Drop what was not read."""
        self._first += len(self._keys)
        self._keys.clear()

    def gone(self) -> None:
        """No more keys will come."""
        self._gone = True
        self._changed.set()

    async def peek(self, since: int = 0) -> tuple[int, str]:
        """The first unread key from number ``since`` on, and its number; it stays unread. Raises `LineGone`."""
        while (index := max(since - self._first, 0)) >= len(self._keys):
            if self._gone:
                raise LineGone("nobody is there to press a key")
            self._changed.clear()
            await self._changed.wait()
        return self._first + index, self._keys[index]

    async def read(self) -> str:
        """The next key. Raises `LineGone`."""
        await self.peek()
        self._first += 1
        return self._keys.pop(0)


class VirtualLeg:
    """Satisfies `engine.line.Leg`. ``options`` shows a test how it was dialled."""

    def __init__(
        self, target: str, channel: str, behaviour: Target, options: DialOptions, log: Log,
        format: Literal["ulaw", "alaw"] = "ulaw", latency: float = 0.0,
    ) -> None:  # fmt: skip
        self.target = target
        self.channel = channel
        self.options = options
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self.media: VirtualMedia | None = None
        self.heard: Callable[[bytes], None] = lambda _: None  # is told what this party says
        self._behaviour = behaviour
        self._log = log
        self._format = format
        self._latency = latency
        self._began = self._loop.time()
        self._result: asyncio.Future[DialResult] = self._loop.create_future()
        self._keys = Keys()
        self._timers: list[asyncio.TimerHandle] = []
        self._ring()

    @property
    def is_answered(self) -> bool:
        """Whether the target answered (and perhaps hung up since)."""
        return self._result.done() and self._result.result().status == "answered"

    async def answered(self) -> DialResult:
        """Wait until the target answers or will not. Cancelling cancels the dialling. May be awaited again."""
        try:
            return await asyncio.shield(self._result)
        except asyncio.CancelledError:
            self._end("engine", 16)
            raise

    async def digit(self) -> str:
        """The next key that this party presses. Raises `LineError` when it has hung up."""
        try:
            return await self._keys.read()
        except LineGone:  # is said of the caller alone
            raise LineError(f"{self.target} is not on the line any more") from None

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to this party. Raises `LineError`."""
        await asyncio.sleep(self._latency)
        if self.ended.done() or not self.is_answered:
            raise LineError(f"{self.target} is not on the line")
        self._log.add(self.target, "sent_digits", digits)

    async def open_media(self) -> VirtualMedia:
        """Audio between this party and the engine. Raises `LineError`."""
        await asyncio.sleep(self._latency)
        if self.ended.done() or not self.is_answered:
            raise LineError(f"{self.target} is not on the line")
        if self.media is None or self.media.closed:
            self.media = VirtualMedia(self.target, self._log, self._format, self._latency)
        return self.media

    async def hangup(self, cause: int = 16) -> None:
        """Hang up or stop ringing. Idempotent."""
        await asyncio.sleep(self._latency)
        self._end("engine", cause)

    def release(self) -> None:
        """The line is closed: nothing is left."""
        self._end("close", 16)

    # ── What the table says ───────────────────────────────────────────────────────────────────────────────────────────

    def _ring(self) -> None:
        target, limit = self._behaviour, self.options.timeout
        self._log.add(self.target, "dialled")
        if target.after is not None and target.after <= limit:
            answers = target.status == "answer"
            self._later(target.after, self._answer if answers else self._refuse, *(() if answers else (target,)))
        else:
            self._later(limit, self._refuse, Target.of("no_answer"))

    def _answer(self) -> None:
        self._settle("answered", self._behaviour.sip_code, None)
        self._log.add(self.target, "answered")
        if self._behaviour.says:
            self._speak(spoken(self._behaviour.says, law=self._format))
        for number, key in enumerate(self._behaviour.keys, 1):
            self._later(number * self._behaviour.keys_after, self._press, key)
        if self._behaviour.hangs_up_after is not None:
            self._later(self._behaviour.hangs_up_after, self._end, "target", 16)

    def _refuse(self, how: Target) -> None:
        self._settle(how.dial_status, how.sip_code, how.q850)
        self._log.add(self.target, "refused", how.status)
        self._gone(Ending(how.q850 or 16, how.sip_code, how.status))

    def _press(self, key: str) -> None:
        self._log.add(self.target, "pressed", key)
        self._keys.press(key)

    def _speak(self, audio: bytes) -> None:
        if self.media is not None:
            self.media.hear(audio[:_FRAME])
        self.heard(audio[:_FRAME])
        if audio[_FRAME:]:
            self._later(0.020, self._speak, audio[_FRAME:])

    def _end(self, by: str, cause: int) -> None:
        if self.ended.done():
            return
        if not self._result.done():
            self._settle("cancelled", 487, None)
        self._log.add(self.target, "hung_up", by)
        self._gone(Ending(cause, None, by))

    def _gone(self, ending: Ending) -> None:
        for timer in self._timers:
            timer.cancel()
        if self.media is not None:
            self.media.end(f"{self.target} has hung up")
        self._keys.gone()
        self.ended.set_result(ending)

    def _settle(self, status: DialStatus, sip_code: int | None, q850: int | None) -> None:
        ring_ms = round((self._loop.time() - self._began) * 1000)
        self._result.set_result(DialResult(status, sip_code, q850, ring_ms))

    def _later(self, seconds: float, act: object, *args: object) -> None:
        self._timers.append(self._loop.call_later(seconds, act, *args))  # type: ignore[arg-type]
