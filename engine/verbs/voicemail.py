"""`voicemail`: let the caller leave a message."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import structlog
from pydantic import Field, field_validator

from engine.audio import BYTES_PER_MS, AudioError, from_file, tone
from engine.beside import first_of
from engine.call import Call
from engine.leaks import leaks
from engine.line import LineGone
from engine.outcome import Outcome, StepError
from engine.playout import Playout
from engine.prompting import prompt, synthesise
from engine.record import Spoken, StepTrace
from engine.recording import CLOSE_WITHIN, keep, new_file
from engine.run import Walker
from engine.transcripts import patience, transcribe
from engine.verb import Verb, cannot_recognise
from engine.verbs.notices import Notice, tell_all
from engine.verbs.sms import USUAL, Recipients, recipient_problems
from flows.fields import Duration, Text
from flows.flow import Step
from flows.mailboxes import BOX, LONGEST, Mailbox
from flows.problems import Problem, did_you_mean, has
from flows.scope import Scope
from flows.verb import Fields, Outcomes
from providers.energy import EnergyDetector
from providers.voice import ALAW, ULAW, VoiceError

log = structlog.get_logger()

BEEP = (440.0,)  # Hz, for 400 ms
TAIL_MS = 400  # of the silence behind the last word


class VoicemailFields(Fields):
    """Which box, and how the message ends."""

    box: str = Field(description="Whose box: a folder below voicemail/.")
    max: Duration = Field(120.0, description="How long a message may be, 30m at most.")
    silence: Duration = Field(4.0, description="How long nobody speaks before the message is over.")
    beep: bool = Field(True, description="Whether a tone tells the caller to speak.")
    notify: Recipients = Field(
        (),
        max_length=20,
        description="Who is told: endpoints, numbers, destinations, group:NAME; whom the box names if absent.",
    )
    transcribe: bool = Field(False, description="Whether the message is written down, too.")
    listening: str | None = Field(None, description="The voice that writes it down; else the engine's own.")
    language: str | None = Field(None, description="The language of the caller, BCP 47.")
    sensitive: bool = Field(False, description="What is said never stands in a log, a trace or a record.")

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

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """The box, where there is a list of them, who is told, and who writes it down."""
        boxes, endpoints = scope.resources.mailboxes, scope.resources.endpoints
        if boxes and fields.box not in boxes:
            message = f"unknown mailbox '{fields.box}'{did_you_mean(fields.box, boxes) or has(boxes)}"
            yield scope.problem(scope.at("box"), "E302", message)
        greeting = boxes[fields.box].greeting if fields.box in boxes else None
        try:
            if greeting is not None and greeting.path is not None:
                from_file(greeting.path, greeting.content, "ulaw")
        except AudioError as error:
            yield scope.problem(scope.at("box"), "E306", f"the greeting of the mailbox: {error}")
        at = "notify" if fields.notify else "box"
        people = [
            name
            for name in _notified(fields, boxes.get(fields.box, Mailbox(fields.box)))
            if name.literal not in endpoints
        ]
        for name in people:
            if name.literal is not None:
                yield from recipient_problems(name.literal, scope, scope.at(at))
        if people and USUAL not in endpoints:
            message = f"who is told by SMS needs the endpoint '{USUAL}'{has(endpoints)}"
            yield scope.problem(scope.at(at), "E302", message)
        yield from leaks(scope, [one for name in fields.notify for one in name.expressions], "by SMS")
        yield from cannot_recognise(scope, fields.listening)

    def saves(self, fields: Any) -> dict[str, str]:
        """The file, how long it is, and later its text."""
        return {"file": "string", "ms": "integer", **({"text": "string"} if fields.transcribe else {})}

    def keys(self, fields: Any) -> str:
        """It ends the message."""
        return "#"

    async def run(self, step: Step, call: Call) -> Outcome:
        """Beep, listen, keep."""
        fields = step.fields
        assert isinstance(fields, VoicemailFields)
        box = call.library.resources.mailboxes.get(fields.box, Mailbox(fields.box))
        longest = fields.max if "max" in fields.model_fields_set else box.max or fields.max
        playout = await call.playout()
        await _greet(call, box)
        if fields.beep:
            await playout.play(tone(BEEP, 400, playout.law))
        message = Message(playout)
        ends = (message.listen(fields.silence), _hash(call), asyncio.sleep(longest), playout.lost())
        try:
            await first_of(*ends)
        except (asyncio.CancelledError, LineGone):  # above all because the caller hung up
            await _left_behind(call, fields, message, step)
            raise
        return await _left(call, fields, message, step)


async def _left_behind(call: Call, fields: VoicemailFields, message: Message, step: Step) -> None:
    """Keep it although nobody goes on with the flow. A disk that does not answer holds up no call's end."""
    trace, left = call.record.steps[-1], asyncio.ensure_future(_left(call, fields, message, step))
    done, _ = await asyncio.wait([left], timeout=CLOSE_WITHIN)
    if not done:
        left.add_done_callback(_seen)
        trace.detail = f"not written within {CLOSE_WITHIN:g} s"
        log.error("a message may be lost: its file could not be written in time", seconds=CLOSE_WITHIN)
    elif (error := left.exception()) is None:
        trace.detail = trace.detail or left.result().detail
    elif not isinstance(error, StepError):  # which is in the log, and the flow is not asked any more
        log.error("a message is lost", reason=f"{type(error).__name__}: {error}")


def _seen(left: asyncio.Future[Outcome]) -> None:
    if not left.cancelled() and left.exception() is None:
        log.warning("a message was written late", outcome=left.result().detail)


async def _left(call: Call, fields: VoicemailFields, message: Message, step: Step) -> Outcome:
    """Keep what was said, if anything was. Raises `StepError`."""
    if not message.spoken:
        return Outcome("empty")
    audio = bytes(message.audio[: message.spoken])
    folder = call.services.storage / "voicemail" / fields.box
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
    trace, context = call.record.steps[-1], call.walker.context()
    trace.detail = outcome.detail
    box = call.library.resources.mailboxes.get(fields.box, Mailbox(fields.box))
    names = [name.render(context) for name in _notified(fields, box)]
    notice, left = Notice(fields.box, ms / 1000, file), Left(call, step, trace, call.walker, outcome.detail)
    if fields.transcribe:
        language = fields.language or box.language
        work = left.write_down(audio, message.playout.law, fields.listening, language, names, notice)
        call.errand(work, "the transcript of a message", patience(audio) + call.services.wind_up)
    elif names:
        call.errand(tell_all(call, step, trace, names, notice, call.walker.flow.name), f"notices of {step.path}")
    return outcome


@dataclass(frozen=True, slots=True)
class Left:
    """A message that was left, and where its words go."""

    call: Call
    step: Step
    trace: StepTrace
    walker: Walker
    detail: str

    async def write_down(
        self, audio: bytes, law: str, listening: str | None, language: str | None, names: Sequence[str], notice: Notice
    ) -> None:
        """The text of a message, for the record, for steps to come and for who is told. Nobody waits for it."""
        text = await self._text(audio, law, listening, language)
        if self.step.id is not None and self.walker.steps[self.step.id].get("file") == str(notice.file):
            self.walker.steps[self.step.id]["text"] = text  # else there is a later message
        if text and not getattr(self.step.fields, "sensitive", False):
            spoken = Spoken(role="caller", text=text, at=self.trace.started, step=self.step.path)
            insort(self.call.record.transcript, spoken, key=lambda each: each.at)
            notice = replace(notice, text=text)
        if names:
            await tell_all(self.call, self.step, self.trace, names, notice, self.walker.flow.name)

    async def _text(self, audio: bytes, law: str, listening: str | None, language: str | None) -> str | None:
        own = self.call.services.listening
        try:
            found = await transcribe(own, audio, law, provider=listening, language=language, spent=self.call.spent)
        except VoiceError as error:
            self.trace.detail = f"{self.detail}; not written down: {error}"
            errors = self.call.services.metrics.provider_errors
            errors.labels(own.name(listening), error.code or "listening").inc()
            log.warning("a message is not written down", reason=str(error))
            return None
        if found.problem:
            self.trace.detail = f"{self.detail}; some of it is not written down: {found.problem}"
        return found.text


def _notified(fields: VoicemailFields, box: Mailbox) -> Sequence[Text]:
    """Who is told of a message: whom the step names, else whom its box does."""
    return fields.notify or [Text(name) for name in box.notify]


async def _greet(call: Call, box: Mailbox) -> None:
    """What the box says before the message; a key skips it. Raises `StepError`."""
    greeting = box.greeting
    if greeting is None:
        return
    playout = await call.playout()
    if greeting.path is not None:
        audio = from_file(greeting.path, greeting.content, playout.law)
    else:
        audio = await synthesise(call, greeting.text or "", language=box.language)
        call.said("voice", greeting.text or "")
    if not await prompt(call, audio, "dtmf"):
        call.line.drop_digits()


async def _hash(call: Call) -> None:
    while await call.line.digit() != "#":
        pass
    call.pressed("#", secret=False)
