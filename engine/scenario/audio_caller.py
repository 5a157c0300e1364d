"""The telephones of a test by audio, on the world's Asterisk: who calls, and who is rung."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Final

from asterisk.ari.errors import AriError
from asterisk.world import Caller, Rung, World, WorldError
from engine.beside import beside
from engine.scenario.audio_line import AudioLine
from engine.scenario.audio_voice import AudioProvider
from engine.virtual import CallOver
from engine.virtual.log import Log
from engine.virtual.targets import Target

HUNG_UP_WITHIN: Final = 5.0  # seconds for a hang-up to be known on both sides
BEEP: Final = (1000.0, 0.4)  # Hz, seconds

# The Q.850 cause with which a telephone refuses; Asterisk makes the SIP status of it that `Target` has.
CAUSES: Final = {"no_answer": 19, "busy": 17, "declined": 16, "unavailable": 1, "failed": 38}


class AudioCaller:
    """Who calls: speaks with a synthesiser's voice, presses real keys. Satisfies `audio_line.LeavingCaller`."""

    def __init__(self, phone: Caller, log: Log, voice: AudioProvider) -> None:
        self.line: AudioLine | None = None  # known when the call has come
        self.speaks: Callable[[], None] = lambda: None  # told when they begin to speak
        self._phone = phone
        self._log = log
        self._voice = voice
        self._leaving: asyncio.Task[None] | None = None

    async def says(self, text: str) -> None:
        """Speak to whoever listens. Raises `CallOver`."""
        self._must_be_there(f"say {text!r}")
        await self._voice.rehearse()
        self._voice.said.append(text)
        self._voice.speaking = True
        self._log.add("caller", "said", text, round(1000 * await self._phone.seconds_of(text)))
        self.speaks()
        try:
            with self._cut_short():
                await self._phone.says(text)
        finally:
            self._voice.line_ended()

    async def beeps(self) -> None:
        """Beep, as an answering machine does before it records. Raises `CallOver`."""
        self._must_be_there("beep")
        self._log.add("caller", "beeped", "", round(1000 * BEEP[1]))
        with self._cut_short():
            await self._phone.sounds(*BEEP)

    async def presses(self, keys: str, every: float) -> None:
        """Press keys, so many seconds apart. Raises `CallOver`."""
        for number, key in enumerate(keys):
            if number:
                await asyncio.sleep(every)
            self._must_be_there(f"press {key}")
            self._log.add("caller", "pressed", key)
            with self._cut_short():
                await self._phone.presses(key)

    async def hangs_up(self) -> None:
        """Hang up; returns when the engine's side knows. Raises `CallOver`."""
        self._must_be_there("hang up")
        assert self.line is not None
        await self._phone.hangs_up()
        await asyncio.wait([self.line.ended], timeout=HUNG_UP_WITHIN)

    def leave(self) -> None:
        """Put the phone down soon; does not wait."""
        self._leaving = asyncio.create_task(self._leave(), name="caller leaves")

    async def _leave(self) -> None:
        with suppress(AriError):  # an Asterisk that is gone has hung up
            await self._phone.hangs_up()

    def _must_be_there(self, act: str) -> None:
        if self.line is None or self.line.ended.done():
            raise CallOver(f"the caller cannot {act}: the call is over. What happened:\n{self._log}")

    @contextmanager
    def _cut_short(self) -> Iterator[None]:
        """The end of the call ends what the caller does, and is no mistake."""
        try:
            yield
        except (WorldError, AriError):
            if not self._phone.over.is_set() and self.line is not None and not self.line.ended.done():
                raise


class Switchroom:
    """Gives the targets of tests telephones of the world."""

    def __init__(self, outside: World) -> None:
        self._outside = outside
        self._numbers = count(1)

    def place(self, target: str, behaviour: Target, log: Log) -> str:
        """A telephone that behaves so; returns how the company dials it: by TLS where the target is at Teams."""
        number = f"+1212559{next(self._numbers) % 10000:04d}"

        async def act(phone: Rung) -> None:
            await behave(phone, target, behaviour, log)

        self._outside.when_rung(number, act)
        return f"teams:{number}" if target.startswith("teams:") else f"pjsip:{number}@carrier"


async def behave(phone: Rung, target: str, how: Target, log: Log) -> None:
    """Ring, then answer or refuse as the test says; returns when they hang up by themselves."""
    if how.status not in ("unavailable", "failed"):
        await phone.rings()
    if how.after is None:
        await phone.over.wait()
        return
    await asyncio.sleep(how.after)
    if how.status != "answer":
        await phone.refuses(CAUSES[how.status])
        return
    await phone.answers()
    speaking = [phone.says(how.says)] if how.says else []
    async with beside(_press(phone, target, how, log), *speaking):
        await _stay(phone, how.hangs_up_after)


async def _stay(phone: Rung, seconds: float | None) -> None:
    if seconds is None:
        await phone.over.wait()
    else:
        await asyncio.sleep(seconds)


async def _press(phone: Rung, target: str, how: Target, log: Log) -> None:
    for key in how.keys:
        await asyncio.sleep(how.keys_after)
        log.add(target, "pressed", key)
        await phone.presses(key)
