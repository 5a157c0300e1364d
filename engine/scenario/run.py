"""Runs one test: a call on the virtual line under the virtual clock, beside a caller who follows the script."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from structlog.testing import capture_logs

from engine.call import Call
from engine.line import Facts
from engine.record import CallRecord
from engine.scenario import world
from engine.scenario.expect import Expectations, Failure, Unmet, describe, violated
from engine.scenario.fields import EventFields, ItemFields, ScenarioFields
from engine.scenario.file import Scenario
from engine.scenario.judge import judged
from engine.scenario.model import Spent
from engine.scenario.names import target_of
from engine.scenario.part import ModelledPart, Part, ScriptedPart
from engine.scenario.phone import Phone
from engine.scenario.simulated import SimulatedCaller
from engine.scenario.text_voice import TextProvider
from engine.scenario.trace import Row, Trace
from engine.scenario.writing import Writer
from engine.services import Clock
from engine.virtual import CallOver, VirtualLine, VirtualProvider, VirtualTimeError
from engine.virtual import run as run_virtually
from engine.virtual.clock import START
from flows.flow import Flow
from flows.json_schema import plain
from flows.targets import mistake_in
from providers.parts import TextModel

PAUSE: Final = 0.5  # seconds of quiet after which the caller speaks
TURN_WITHIN: Final = 120.0  # seconds in which the AI must have listened
BETWEEN_KEYS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Runs:
    """A test that ran several times. ``also``: what failed in other runs than the one that is shown."""

    passed: int
    total: int
    wanted: float  # share of the runs that must pass, 0 to 1
    spent: Spent
    also: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test. ``seconds`` on the telephone took ``ms`` here; ``ran``: place, path, outcome of steps.

    ``needs``: it did not run, since it needs another mode.
    """

    scenario: Scenario
    failures: tuple[Failure, ...]
    rows: tuple[Row, ...] = ()
    met: dict[tuple[str, int], str] = field(default_factory=dict)
    seconds: float = 0.0
    ms: float = 0.0
    ran: frozenset[tuple[str, str, str]] = frozenset()
    runs: Runs | None = None
    needs: str = ""
    record: CallRecord | None = None

    @property
    def passed(self) -> bool:
        """Whether it ran and everything held."""
        return not self.failures and not self.needs


def run_scenario(scenario: Scenario, model: TextModel | None = None) -> Result:
    """Run it in virtual time. Never raises for what flow and test do.

    ``model`` plays the AI, and in a simulated test the caller and the judge; it must take no virtual time
    (`engine.scenario.model.HeldModel`), and whoever gives it keeps the log quiet. Without one a simulated test does not
    run: its `Result.needs` says so.
    """
    started = time.perf_counter()
    test = scenario.fields
    if test.simulate is not None and model is None:
        return Result(scenario, (), needs="simulated")
    try:
        with capture_logs() if model is None else contextlib.nullcontext():  # not to be captured by two threads
            result = run_virtually(_play(scenario, model), start=test.given.now or START)
    except VirtualTimeError as error:
        result = Result(scenario, (Failure(test.where, "the call comes to an end", str(error)),))
    return Result(
        scenario, result.failures, result.rows, result.met, result.seconds,
        (time.perf_counter() - started) * 1000, result.ran, record=result.record,
    )  # fmt: skip


async def _play(scenario: Scenario, model: TextModel | None) -> Result:
    test, news = scenario.fields, asyncio.Event()
    line = VirtualLine(_facts(test), {
        target_of(name, scenario.library): list(answers) for name, answers in test.mocks.targets.items()
    })  # fmt: skip
    line.log.on_entry = news.set
    voice = world.provider(test.mocks.voice, model)
    with TemporaryDirectory(prefix="hookflash-kept-") as kept:  # messages and recordings: nobody wants those of a test

        def begins(trace: Trace) -> None:
            trace.call.services.storage = Path(kept)

        return await carry_out(scenario, line, voice, news, model=model, begins=begins)


async def carry_out(
    scenario: Scenario, line: Phone, voice: VirtualProvider, news: asyncio.Event, *, model: TextModel | None = None,
    clock: Clock | None = None, within: float | None = None, begins: Callable[[Trace], None] = lambda trace: None,
) -> Result:  # fmt: skip
    """The call of a test on its line, virtual or real, beside a caller who follows the script (``within`` seconds).

    ``model``: as for `run_scenario`. ``begins`` is told of the call before it runs; ``clock``: the virtual one when
    absent.
    """
    test, flow = scenario.fields, scenario.library.flows[scenario.fields.flow]
    http = world.Endpoints(test.mocks.http, news.set)
    writer = Writer(test.mocks.text, news.set, model)
    voice.writer = writer
    call = Call(line, flow, scenario.library, world.services(voice, http, news.set, clock))
    _give(call, flow, test)
    trace = Trace(call, line, http, writer.asked)
    begins(trace)
    running = asyncio.create_task(call.run(), name="call")
    running.add_done_callback(lambda _: news.set())
    expectations = Expectations(trace, running, news)
    failures: list[Failure] = []
    try:
        async with asyncio.timeout(within):
            if isinstance(line, VirtualLine) and test.simulate is not None and model is not None:
                await SimulatedCaller(line, voice, model, test.simulate).calls()
            else:
                part = ModelledPart(voice, test.script) if isinstance(voice, TextProvider) else ScriptedPart(voice)
                await ScriptedCaller(call, line, part, expectations).follow(test.script)
    except Unmet as unmet:
        failures.append(unmet.failure)
    except TimeoutError:
        failures.append(Failure(test.where, "the script comes to its end", f"not within {within:g} s"))
    finally:
        line.end("caller")  # the script is over: they put the phone down
        await running
    met = expectations.met
    failures += _unmocked(trace, test) + _broken_rules(trace, test) + _troubles(voice, test)
    failures += await _never_happened(test, trace, running, met)
    if model is not None:
        failures += await judged(model, test.judge, trace.rows())
    return Result(
        scenario, tuple(failures), tuple(trace.rows()), met, line.log.now,
        ran=frozenset((step.where, step.path, trace.outcome(step) or "") for step in trace.steps),
        record=call.record,
    )  # fmt: skip


def _facts(test: ScenarioFields) -> Facts:
    given = test.given
    return Facts(
        id="test-call", did=given.did, caller=given.caller.number, caller_name=given.caller.name, trunk="test",
        headers=dict(given.headers), channel="test-channel",
    )  # fmt: skip


def _give(call: Call, flow: Flow, test: ScenarioFields) -> None:
    """The variables and the input that the test says."""
    for name, value in test.given.vars.items():
        call.walker.set(name, plain(value))
    defaults = {name: variable.default for name, variable in flow.input.items() if variable.default is not None}
    call.walker.input = {**defaults, **plain(test.given.input)}


class ScriptedCaller:
    """Does what the script says, one line after the other, and checks what it expects."""

    def __init__(self, call: Call, line: Phone, part: Part, expectations: Expectations) -> None:
        self._expectations = expectations
        self._call = call
        self._line = line
        self._part = part

    async def follow(self, script: tuple[ItemFields, ...]) -> None:
        """The whole script. Raises `Unmet`."""
        for item in script:
            try:
                await self._do(item)
            except CallOver:
                raise Unmet(Failure(item.where, _act(item), "the call was over")) from None

    async def _do(self, item: ItemFields) -> None:
        if item.expect is not None:
            if self._part.asserts(item.expect):
                await self._expectations.meet(item.expect)
        elif item.caller is not None:
            await self._turn(item)
            await self._talk(item, item.caller)
        elif item.says is not None:
            await self._answered(item)
            await self._line.caller.says(item.says)
        elif item.beeps is not None:
            await self._answered(item)
            await self._line.caller.beeps()
        elif item.press is not None:
            await self._answered(item)
            await self._line.caller.presses(item.press, every=BETWEEN_KEYS)
            await asyncio.sleep(BETWEEN_KEYS)
        elif item.silence is not None:
            await asyncio.sleep(item.silence)
        elif item.event is not None:
            self._tell(item, item.event)
            await asyncio.sleep(0.1)  # the step that waited ends
        elif item.costs is not None:
            if self._line.ended.done():
                raise CallOver
            self._call.charge(Decimal(str(item.costs)))
            await asyncio.sleep(0.1)  # a handler may begin
        else:
            await self._line.caller.hangs_up()

    async def _turn(self, item: ItemFields) -> None:
        """Wait until somebody listens who has nothing more to say."""
        quiet = 0.0
        waited = 0.0
        while quiet < PAUSE:
            if self._line.ended.done():
                raise CallOver
            if waited > TURN_WITHIN:
                raise Unmet(Failure(item.where, _act(item), f"nobody listened for {TURN_WITHIN:g} s"))
            await asyncio.sleep(0.1)  # a person notices a pause, not an event
            waited += 0.1
            quiet = quiet + 0.1 if self._is_listened_to() else 0.0

    async def _talk(self, item: ItemFields, text: str) -> None:
        """Say it, and wait until the AI has answered: until its talk is over when it takes an exit or breaks down."""
        reply = item.converse
        if self._line.connected is not None:
            if reply is not None:
                raise Unmet(Failure(item.where, "the AI answers", f"{self._line.connected.target} is connected"))
            return await self._line.caller.says(text)
        if self._call.ear is not None:
            return await self._answer(item, text)
        voice, waited = self._part.provider.voices[-1], 0.0
        self._part.prepare(reply)
        await self._line.caller.says(text)
        while not voice.closed and not self._line.ended.done() and self._part.goes_on(reply):
            if waited > TURN_WITHIN:
                raise Unmet(Failure(item.where, "the AI answers", f"its talk went on for {TURN_WITHIN:g} s"))
            await asyncio.sleep(0.1)
            waited += 0.1
        return self._part.check(item)

    def _tell(self, item: ItemFields, event: EventFields) -> None:
        told = self._call.tell(event.source, event.name, plain(event.data))
        if told.fate == "over":
            raise CallOver
        self._line.log.add(event.source, "tells", event.name)
        if told.fate not in ("taken", "kept"):
            raise Unmet(Failure(item.where, _act(item), f"it was not taken: {'; '.join(told.why) or told.fate}"))

    async def _answer(self, item: ItemFields, text: str) -> None:
        """Say it to a step that writes it down, and wait until it has."""
        if item.converse is not None:
            raise Unmet(Failure(item.where, "the AI answers", "a step that writes down speech listens, not the AI"))
        ear, waited = self._call.ear, 0.0
        await self._line.caller.says(text)
        while self._call.ear is ear and waited < TURN_WITHIN:
            await asyncio.sleep(0.1)
            waited += 0.1

    def _is_listened_to(self) -> bool:
        if self._line.connected is not None:
            return True
        voices = self._part.provider.voices
        voice = voices[-1] if voices else None
        media = self._line.media
        if self._call.ear is not None:
            return media is not None and not media.is_playing
        return (
            voice is not None and not voice.closed and not voice.is_busy
            and media is not None and not media.is_playing
        )  # fmt: skip

    async def _answered(self, item: ItemFields) -> None:
        """Keys need a call that was answered."""
        waited = 0.0
        while not self._line.is_answered:
            if self._line.ended.done():
                raise CallOver
            if waited > TURN_WITHIN:
                raise Unmet(Failure(item.where, _act(item), f"the call was not answered for {TURN_WITHIN:g} s"))
            await asyncio.sleep(0.1)
            waited += 0.1


def _act(item: ItemFields) -> str:
    if item.expect is not None:
        return describe(item.expect)
    if item.caller is not None:
        return f'the caller says "{item.caller}"'
    if item.says is not None or item.beeps is not None:
        return "the caller beeps" if item.says is None else f'the caller says "{item.says}"'
    if item.event is not None:
        return f"the {item.event.source} tells of {item.event.name}"
    if item.costs is not None:
        return f"the call costs {item.costs:g} more"
    return f"the caller presses {item.press}" if item.press is not None else "the caller hangs up"


# ── What breaks a test beside its script ──────────────────────────────────────────────────────────────────────────────


def _unmocked(trace: Trace, test: ScenarioFields) -> list[Failure]:
    """Requests, texts and targets for which the test has no answer."""
    asked = [
        Failure(
            test.where, "an answer in mocks.http", f"{one.method} {one.endpoint} {one.path} has none", ("http", index)
        )
        for index, one in enumerate(trace.http.requests)
        if not one.is_mocked
    ]
    asked += [
        Failure(test.where, "an answer in mocks.text", f"the text model was asked to read {one.text}", ("text", index))
        for index, one in enumerate(trace.written)
        if not one.is_mocked
    ]
    known = {target_of(name, trace.call.library) for name in test.mocks.targets}
    rung = {who: ("line", index) for index, who, _ in trace.dialled() if who not in known and not mistake_in(who)}
    return asked + [
        Failure(test.where, "an answer in mocks.targets", f"{who} was rung and has none", key)
        for who, key in rung.items()
    ]


async def _never_happened(
    test: ScenarioFields, trace: Trace, over: asyncio.Task[CallRecord], met: dict[tuple[str, int], str]
) -> list[Failure]:
    """What must happen at some time of a simulated call, in any order, and did not."""
    failures = []
    for expected in test.must:
        try:
            await Expectations(trace, over, asyncio.Event(), met).anywhere(expected)
        except Unmet as unmet:
            failures.append(unmet.failure)
    return failures


def _troubles(voice: VirtualProvider, test: ScenarioFields) -> list[Failure]:
    """A model that did not answer."""
    troubles = dict.fromkeys(voice.troubles) if isinstance(voice, TextProvider) else ()
    return [Failure(test.where, "the model answers", trouble) for trouble in troubles]


def _broken_rules(trace: Trace, test: ScenarioFields) -> list[Failure]:
    failures = []
    for rule in test.always:
        broken = violated(rule.never, trace)
        if broken is not None:
            failures.append(Failure(rule.where, f"never {describe(rule.never)}", broken[0], broken[1]))
    return failures
