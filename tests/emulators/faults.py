"""What can go wrong with a provider, one knob each, and how every emulator lets it. The default is no fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    # At the upgrade
    http_status: int | None = None  # answer it with this status
    hang_upgrade: bool = False  # never answer it
    no_session: bool = False  # accept it and say nothing
    refuse_session: tuple[str, str] | None = None  # answer session.update with an error (code, message)
    expires_in: float = 1800.0  # seconds, told in session.expires_at

    # On the connection; milliseconds count from the moment at which the session stands
    drop_after_ms: int | None = None  # cut the TCP connection
    close_after_ms: int | None = None  # close in an orderly way
    close_code: int = 1001
    close_reason: str = ""
    silent_after_ms: int | None = None  # nothing more is sent, and nothing closed
    go_away_after_ms: int | None = None  # the client shall leave the connection (where the protocol has a word for it)
    stop_reading: bool = False
    delay_ms: int = 0  # every event is so late
    duplicate: bool = False  # every event is sent twice
    out_of_order: bool = False  # neighbouring events change places
    garbage: tuple[str | bytes, ...] = ()  # sent as they are, once the session stands

    # In the conversation
    stall: bool = False  # no answer after the end of speech, nor when asked for one; no text where only that is owed
    no_transcript: str = ""  # what was said cannot be written down, and why
    empty_turns: int = 0  # so many of the first answers have no output
    late_deltas: int = 0  # audio that still arrives after a response was cancelled
    phantom_speech_at_ms: int | None = None  # it hears speech although nobody spoke; nothing is cancelled
    rate_limit: bool = False  # every answer ends with nothing left
    error: tuple[str, str] | None = None  # an error event (code, message) once the session stands
    burst: bool = False  # all the audio of an answer at once


Frame = dict[str, object] | str | bytes
Transmit = Callable[[Frame], Awaitable[None]]
Act = Callable[[], Awaitable[None]]


class Outbox:
    """What an emulator has to say, on its way: late, twice or out of order, as its faults have it."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._frames: asyncio.Queue[tuple[float, Frame]] = asyncio.Queue()

    def put(self, frame: Frame) -> None:
        self._frames.put_nowait((self._clock(), frame))

    async def deliver(self, transmit: Transmit, faults: Callable[[], Faults], stands: Callable[[], bool]) -> None:
        """Send it, until cancelled. ``stands`` tells whether the session stands: before that nothing changes places."""
        held: Frame | None = None
        while True:
            at, frame = await self._frames.get()
            now = faults()
            if now.out_of_order and stands() and held is None and not self._frames.empty():
                held = frame
                continue
            frames, held = [frame] if held is None else [frame, held], None
            if now.delay_ms:
                await asyncio.sleep(at + now.delay_ms / 1000 - self._clock())
            for each in frames:
                for _ in range(2 if now.duplicate else 1):
                    await transmit(each)


async def misbehave(faults: Faults, *, drop: Act, close: Act, mute: Act, phantom: Act, go_away: Act) -> None:
    """Do what the faults have to be done at certain moments, in their order. Begins when the session stands."""
    moments = [
        (faults.phantom_speech_at_ms, phantom),
        (faults.go_away_after_ms, go_away),
        (faults.silent_after_ms, mute),
        (faults.drop_after_ms, drop),
        (faults.close_after_ms, close),
    ]
    passed = 0
    for at_ms, act in sorted(((at, act) for at, act in moments if at is not None), key=lambda pair: pair[0]):
        await asyncio.sleep((at_ms - passed) / 1000)
        passed = at_ms
        await act()
