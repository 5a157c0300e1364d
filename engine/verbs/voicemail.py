"""`voicemail`: let the caller leave a message."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import structlog
from pydantic import Field, field_validator

from engine.audio import BYTES_PER_MS, tone
from engine.beside import first_of
from engine.call import Call
from engine.outcome import Outcome, StepError
from engine.playout import Playout
from engine.recording import keep, new_file
from engine.verb import Verb
from flows.fields import Duration
from flows.flow import Step
from flows.verb import Fields, Outcomes
from providers.energy import EnergyDetector
from providers.voice import ALAW, ULAW

log = structlog.get_logger()

BOX = re.compile(r"[A-Za-z0-9_-]{1,64}")
BEEP = (440.0,)  # Hz, for 400 ms
TAIL_MS = 400  # of the silence behind the last word
LONGEST = 1800.0  # seconds: 14 MB in memory


class VoicemailFields(Fields):
    """Which box, and how the message ends."""

    box: str = Field(description="Whose box: a folder below voicemail/.")
    max: Duration = Field(120.0, description="How long a message may be, 30m at most.")
    silence: Duration = Field(4.0, description="How long nobody speaks before the message is over.")
    beep: bool = Field(True, description="Whether a tone tells the caller to speak.")

    @field_validator("box")
    @classmethod
    def a_folder(cls, box: str) -> str:
        """Nothing that leads out of the folder of all boxes."""
        if not BOX.fullmatch(box):
            raise ValueError("a box has 1 to 64 letters, digits, '_' and '-'")
        return box

    @field_validator("max", "silence")
    @classmethod
    def some_time(cls, seconds: float) -> float:
        """A message fits into memory."""
        if not 0 < seconds <= LONGEST:
            raise ValueError(f"it must be more than nothing and {LONGEST / 60:.0f}m at most")
        return seconds


@dataclass(slots=True)
class Message:
    """What the caller says, as it arrives, and when they were last heard to speak."""

    playout: Playout
    audio: bytearray = field(default_factory=bytearray)
    spoken: int = 0  # bytes until the end of the last word; 0: no word yet
    last_word: float = 0.0

    async def listen(self, silence: float) -> None:
        """Until nobody has spoken for so many seconds."""
        clock = asyncio.get_running_loop().time
        detector = EnergyDetector(ALAW if self.playout.law == "alaw" else ULAW, min_silence_ms=TAIL_MS)

        async def hear(audio: bytes) -> None:
            self.audio += audio
            if detector.feed(audio) or detector.speaking:
                self.spoken, self.last_word = len(self.audio), clock()

        self.last_word = clock()
        before, self.playout.listener = self.playout.listener, hear
        try:
            # By the clock, for where nobody speaks there may be no audio at all.
            while (left := self.last_word + silence - clock()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(left)
        finally:
            self.playout.listener = before


class Voicemail(Verb):
    """Keeps a message as a WAV file: ``steps.<id>.file``, ``steps.<id>.ms``; also when the caller ends it by hanging
    up, so that the `hangup` handler can tell somebody."""

    name: ClassVar[str] = "voicemail"
    summary: ClassVar[str] = "Let the caller leave a message."
    Fields: ClassVar[type[Fields]] = VoicemailFields
    interactive: ClassVar[bool] = True
    takes_digits: ClassVar[bool] = True
    shorthand: ClassVar[str | None] = "box"
    ways_to_end: ClassVar[Outcomes] = Outcomes(good=("empty",))

    def saves(self, fields: Any) -> dict[str, str]:
        """The file, and how long it is."""
        return {"file": "string", "ms": "integer"}

    def keys(self, fields: Any) -> str:
        """It ends the message."""
        return "#"

    async def run(self, step: Step, call: Call) -> Outcome:
        """Beep, listen, keep."""
        fields = step.fields
        assert isinstance(fields, VoicemailFields)
        playout = await call.playout()
        if fields.beep:
            await playout.play(tone(BEEP, 400, playout.law))
        message = Message(playout)
        ends = (message.listen(fields.silence), _hash(call), asyncio.sleep(fields.max), playout.lost())
        try:
            await first_of(*ends)
        except asyncio.CancelledError:  # above all because the caller hung up
            with suppress(StepError):  # it is in the log, and the flow is not asked any more
                outcome = await asyncio.shield(asyncio.ensure_future(_left(call, fields.box, message, step)))
                call.record.steps[-1].detail = outcome.detail
            raise
        return await _left(call, fields.box, message, step)


async def _left(call: Call, box: str, message: Message, step: Step) -> Outcome:
    """Keep what was said, if anything was. Raises `StepError`."""
    if not message.spoken:
        return Outcome("empty")
    audio = bytes(message.audio[: message.spoken])
    folder = call.services.storage / "voicemail" / box
    file = new_file(folder, call.services.clock.now(), call.record.id, len(call.record.steps))
    try:
        await asyncio.to_thread(keep, file, audio, message.playout.law)
    except OSError as error:
        log.error("a message is lost", file=str(file), reason=error.strerror)
        raise StepError(f"the message cannot be kept in {file}: {error.strerror}") from error
    ms = len(audio) // BYTES_PER_MS
    call.record.steps[-1].data["ms"] = ms
    outcome = Outcome("done", {"file": str(file), "ms": ms}, f"{ms / 1000:.1f} s in {file}")
    call.walker.keep(step, outcome)
    return outcome


async def _hash(call: Call) -> None:
    while await call.line.digit() != "#":
        pass
    call.pressed("#", secret=False)
