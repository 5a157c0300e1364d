"""Speaking to the caller to the letter: prompts of `say`, `play`, `menu` and `gather`, and what may interrupt them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal

from engine.beside import first_of
from engine.comfort import patience
from engine.line import LineError
from engine.outcome import StepError
from engine.playout import Playout
from providers.energy import EnergyDetector
from providers.voice import ALAW, ULAW, VoiceError

if TYPE_CHECKING:
    from engine.call import Call

Interruptible = Literal["none", "dtmf", "speech", "any"]


async def synthesise(
    call: Call, text: str, *, voice: str | None = None, language: str | None = None, early: bool = False
) -> bytes:
    """A prompt as audio for this call's line; ``early`` as for `Call.playout`. Raises `StepError`."""
    playout = await call.playout(early=early)
    try:
        async with patience(call):
            return await call.services.speech.audio(text, playout.law, voice=voice, language=language, spent=call.spent)
    except VoiceError as error:
        raise StepError(f"the prompt cannot be spoken: {error}") from error


async def speech_heard(playout: Playout) -> None:
    """Until the caller speaks, by energy."""
    heard = asyncio.Event()
    detector = EnergyDetector(ALAW if playout.law == "alaw" else ULAW)

    async def listen(audio: bytes) -> None:
        if any(edge.speaking for edge in detector.feed(audio)):
            heard.set()

    before, playout.listener = playout.listener, listen
    try:
        await heard.wait()
    finally:
        playout.listener = before


async def prompt(
    call: Call,
    audio: bytes,
    interruptible: Interruptible = "none",
    speech: Callable[[Playout], Coroutine[Any, Any, None]] = speech_heard,
    *,
    early: bool = False,
) -> bool:
    """Play a prompt; True when it was heard to its end, False when the caller interrupted it.

    A key that interrupts stays in the line's buffer for whoever reads keys next. ``speech`` ends when the caller
    speaks. Raises `LineError` when the audio is lost meanwhile: nobody heard the rest.
    """
    playout = await call.playout(early=early)
    if interruptible == "none" or not audio:
        await _play(playout, audio)
        return True
    watches = []
    if interruptible in ("dtmf", "any"):
        watches.append(key_pressed(call))
    if interruptible in ("speech", "any"):
        watches.append(speech(playout))
    return await first_of(_play(playout, audio), *watches) == 0


async def _play(playout: Playout, audio: bytes) -> None:
    if not await playout.play(audio) and playout.closed.is_set():
        await playout.lost()
        raise LineError("the audio of the call was lost")


async def key_pressed(call: Call) -> None:
    """Until a key is there, which stays unread."""
    await call.line.peek_digit()


async def collect(
    call: Call,
    audio: bytes,
    *,
    most: int,
    first_within: float,
    between: float = 3.0,
    finish: str = "",
    interruptible: Interruptible = "dtmf",
) -> str:
    """Play a prompt and read keys, as `keys` does; ``first_within`` counts from the prompt's end."""
    await prompt(call, audio, interruptible)
    return await keys(call, most=most, first_within=first_within, between=between, finish=finish)


async def keys(call: Call, *, most: int, first_within: float, between: float = 3.0, finish: str = "") -> str:
    """Read at most ``most`` keys, ended by the ``finish`` key or by a pause of ``between`` seconds; "" for none."""
    digits = ""
    within = first_within
    while len(digits) < most:
        try:
            async with asyncio.timeout(within):
                digit = await call.line.digit()
        except TimeoutError:
            break
        call.walker.heard_caller()
        call.pressed(digit, secret=False if digit == finish else None)
        if digit == finish:
            break
        digits += digit
        within = between
    return digits
