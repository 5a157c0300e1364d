"""A call in real time on a virtual line, against a vendor's emulator, with every sound written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from engine.call import Call
from engine.comfort import music
from engine.http import Http
from engine.metrics import Metrics
from engine.services import Clock, Services
from engine.speech import Speech
from engine.virtual import KeptRecords, VirtualLine, VirtualProvider
from engine.virtual.media import VirtualMedia
from engine.voices import Voices
from flows.library import Library
from providers.voice import Provider
from tests.emulators.vendors import Vendor
from tests.faults.knobs import Knob

QUESTION, INTERRUPTS = "When do you open?", "Wait, wait!"
BOUND = 20.0  # seconds for a whole call
MOST_QUESTIONS = 6
PAUSE = 0.3  # seconds between the end of what is said and the caller's words
PACE = 1.3  # times as fast as one listens, so that an emulator still speaks while it is heard

FLOW = """
flow: matrix
steps:
  - answer: {}
  - id: talk
    converse:
      provider: [%s, rehearsal]
      greeting: Good day.
      answer_within: 2500ms
      connect_within: 2500ms
      silence: {after: 6s, reprompts: 1, say: Hello?}
      exits: {person: {description: The caller is served.}}
      options: {rehearsal: {patience: 0}}
    outcomes: {silence: [], max_duration: [], provider_error: []}
  - hangup: {}
"""


@dataclass(slots=True)
class Span:
    """Something was heard, from so many seconds of the call to so many."""

    begins: float
    ends: float
    who: str  # "voice", "comfort", "caller"


class Tape(VirtualMedia):
    """A media leg that knows when the caller heard what."""

    spans: list[Span]

    async def send(self, audio: bytes) -> None:
        begins = max(self._loop.time(), self._dry_at)
        quiet = audio.count(audio[:1]) == len(audio)
        if not self.closed and not quiet:
            who = "comfort" if audio == music(self.format) else "voice"
            self.spans.append(Span(begins, begins + len(audio) / 8000, who))
        await super().send(audio)

    async def flush(self) -> int:
        now = self._loop.time()
        for span in self.spans:
            if span.who != "caller":
                span.ends = min(span.ends, max(now, span.begins))
        self.spans[:] = [span for span in self.spans if span.begins < now or span.who == "caller"]
        return await super().flush()


class TapedLine(VirtualLine):
    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.answered_at = 0.0

    async def answer(self) -> None:
        if not self.is_answered:
            self.answered_at = asyncio.get_running_loop().time()
        await super().answer()

    async def open_media(self) -> VirtualMedia:
        if self.media is None:
            tape = Tape("caller", self.log, self._format)
            tape.spans = self.spans
            self.medias.append(tape)
        return self.medias[-1]

    async def says(self, words: str, seconds: float) -> None:
        begins = asyncio.get_running_loop().time()
        span = Span(begins, begins + seconds, "caller")
        self.spans.append(span)
        await self.caller.says(words, seconds)
        span.ends = asyncio.get_running_loop().time()

    def spoken_until(self) -> float:
        """When the last word of a voice will have been heard; 0 when none was."""
        return max((span.ends for span in self.spans if span.who == "voice"), default=0.0)


@dataclass(slots=True)
class Heard:
    """How a call went for its caller."""

    silence: float = 0.0  # seconds, the longest
    outcome: str = "unended"
    last: str = ""  # the voice that brought the talk to its end
    log: str = ""


async def _asks(line: TapedLine, knob: Knob, turn: Callable[[str], None]) -> None:
    """The caller: listens to what is said, speaks as soon as it is over, until the call ends."""
    clock, since = asyncio.get_running_loop().time, 0.0
    for number in range(MOST_QUESTIONS):
        while line.spoken_until() <= since:  # noqa: ASYNC110 - a tape has no events
            await asyncio.sleep(0.02)
        turn("greeting" if number == 0 else "answer")
        if knob.patient and number == 0:
            since = line.spoken_until()
            continue
        if knob.interrupts and number == 0:
            await asyncio.sleep(0.25)
            await line.says(INTERRUPTS, 0.6)
            since = clock()
            continue
        while clock() < line.spoken_until() + PAUSE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        turn("question")
        await line.says(QUESTION, 0.8)
        since = clock()


async def hear(vendor: Vendor, name: str, knob: Knob, house: Library, rehearsal: Provider) -> Heard:
    """Call once, and listen."""
    found = Heard()
    emulator = vendor.emulate(script=knob.script, heard=[QUESTION] * 9, faults=knob.faults, pace=PACE, oracle=False)
    async with emulator:
        provider = vendor.provider(vendor.settings_for(emulator))
        line = TapedLine()
        call = Call(line, house.flows["matrix"], house, _services({name: provider, "rehearsal": rehearsal}))
        caller = asyncio.create_task(_asks(line, knob, _turner(emulator, knob)))
        try:
            async with asyncio.timeout(BOUND):
                await call.run()
            found.outcome = next(step.outcome or "none" for step in call.record.steps if step.verb == "converse")
        except TimeoutError:
            pass  # the outcome says so
        ended = asyncio.get_running_loop().time()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await provider.close()
    found.last = call.talk[0] if call.talk is not None else ""
    found.silence = longest_silence(line, ended)
    found.log = _told(line, call, ended)
    return found


def _services(providers: Mapping[str, Provider]) -> Services:
    """What a call needs, on the real clock; prompts are spoken by a virtual voice."""
    voices, prompts = Voices(), VirtualProvider()
    for name, provider in {**providers, prompts.name: prompts}.items():
        voices.add(name, provider)
    return Services(
        voices=voices, speech=Speech(voices, prompts.name), http=Http(), records=KeptRecords(),
        metrics=Metrics(CollectorRegistry()), clock=Clock(),
    )  # fmt: skip


def _turner(emulator: Any, knob: Knob) -> Callable[[str], None]:
    """Lets the knob's act happen when its moment has come, once."""
    done: list[asyncio.Task[None]] = []

    def turn(moment: str) -> None:
        if knob.act is not None and moment == knob.at and not done and emulator.conversations:
            done.append(asyncio.ensure_future(knob.act(emulator.conversations[0])))

    return turn


def longest_silence(line: TapedLine, ended: float) -> float:
    """Seconds of the longest time without a sound, from the answer to the end."""
    heard_until, longest = line.answered_at, 0.0
    for span in sorted(line.spans, key=lambda span: span.begins):
        longest = max(longest, span.begins - heard_until)
        heard_until = max(heard_until, span.ends)
    return max(longest, ended - heard_until)


def _told(line: TapedLine, call: Call, ended: float) -> str:
    spans = [
        f"{span.begins - line.answered_at:6.2f}-{span.ends - line.answered_at:6.2f} {span.who}" for span in line.spans
    ]
    said = [f"{entry.role}: {entry.text}" for entry in call.record.transcript]
    steps = [f"{step.verb}: {step.outcome} {step.detail}" for step in call.record.steps]
    return "\n".join([*spans, *said, *steps, f"ended at {ended - line.answered_at:.2f}"])
