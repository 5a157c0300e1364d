"""Where tests by audio run: two private Asterisks, the engine on one of them, everybody else on the other.

async with AudioHouse.open() as house:
    result = await house.play(scenario, estimate=14.0)
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import Final

from asterisk import sandbox
from asterisk.ari.errors import AriError
from asterisk.exchange import Exchange, ExchangeSettings
from asterisk.instance import Instance
from asterisk.line import AsteriskLine
from asterisk.targets import Targets as Dialling
from asterisk.world import Caller, World, WorldError
from engine.beside import beside
from engine.comfort import prepare
from engine.scenario import world
from engine.scenario.audio_caller import AudioCaller, Switchroom
from engine.scenario.audio_line import MARK, AudioLine
from engine.scenario.audio_turns import Turns
from engine.scenario.audio_voice import AudioProvider, Mouth
from engine.scenario.expect import Failure
from engine.scenario.file import Scenario
from engine.scenario.hearing import LONGEST_OVERLAP, LONGEST_SILENCE, Hearing, Said, measure
from engine.scenario.names import target_of
from engine.scenario.run import Result, carry_out
from engine.scenario.trace import Row, Trace
from engine.services import Clock
from engine.virtual.clock import START
from engine.virtual.log import Log
from engine.virtual.targets import Targets
from providers.flite import Flite
from providers.voice import Speaker

ARRIVES_WITHIN: Final = 15.0  # seconds from dialling to the engine
RINGS_FOR: Final = 600  # seconds until the caller gives up
OVER_WITHIN: Final = 10.0  # seconds for a call that is over to be over everywhere
LEAVES_WITHIN: Final = 60.0  # seconds for all that comes after the script
PATIENCE: Final = (2.0, 60.0)  # a test may take so many times its time on the virtual line, and so many seconds more

Tell = Callable[[Row], None]


@dataclass(frozen=True, slots=True)
class AudioResult(Result):
    """What came of one test by audio. ``hearing`` is None when no call was answered; ``not_run``: it never can be."""

    hearing: Hearing | None = None
    not_run: bool = False


class AudioHouse:
    """Runs tests by audio, several at the same time if asked. Make it with `open`."""

    def __init__(self, exchange: Exchange, outside: World, mouth: Mouth, folder: Path) -> None:
        self._exchange = exchange
        self._outside = outside
        self.mouth = mouth
        self.folder = folder
        self.switchroom = Switchroom(outside)
        self._calls = count(1)
        self._dialling = asyncio.Lock()  # one call is on its way at a time
        self._expected: tuple[str, asyncio.Future[AsteriskLine]] | None = None  # its mark

    @classmethod
    @asynccontextmanager
    async def open(cls, speaker: Speaker | None = None) -> AsyncIterator[AudioHouse]:
        """Start both Asterisks; at the end nothing of them is left. ``speaker``: flite when absent.

        Raises `asterisk.sandbox.UnpackError` (what to install), `SandboxError`, `NoPortsLeftError`, `ExchangeError`.
        """
        installation = await asyncio.to_thread(sandbox.locate)
        with tempfile.TemporaryDirectory(prefix="hookflash-test-") as name:
            async with (
                sandbox.pair(Path(name), installation=installation) as (pbx, others),
                cls.between(pbx, others, Path(name), speaker) as house,
            ):
                yield house

    @classmethod
    @asynccontextmanager
    async def between(
        cls, pbx: Instance, others: Instance, folder: Path, speaker: Speaker | None = None
    ) -> AsyncIterator[AudioHouse]:
        """The same on Asterisks that run; ``folder`` keeps messages and recordings. Raises `ExchangeError`."""
        await asyncio.to_thread(prepare, "ulaw")
        mouth = Mouth(speaker or Flite(pbx.installation.flite()))
        settings = ExchangeSettings(
            pbx.ari_url, pbx.ari_user, pbx.ari_password, pbx.application, targets=Dialling(trunk="carrier"),
            start_timeout=ARRIVES_WITHIN,
        )  # fmt: skip
        async with Exchange.open(settings) as exchange, World.open(others) as outside:
            house = cls(exchange, outside, mouth, folder)
            async with beside(house._take_calls()):
                yield house

    async def _take_calls(self) -> None:
        """Give every call that comes to the test that waits for it. Its mark may be missing: headers are not waited for
        when Asterisk is busy (`asterisk.arrival`)."""
        async for line in self._exchange.lines():
            mark, coming = self._expected or ("", None)
            if coming is None or coming.done() or line.facts.headers.get(MARK, mark) != mark:
                await line.close()
            else:
                coming.set_result(line)

    async def play(self, scenario: Scenario, estimate: float, tell: Tell | None = None) -> AudioResult:
        """One test. Never raises for what flow and test do. ``tell`` hears of every step while it runs."""
        began = time.perf_counter()
        most = PATIENCE[0] * estimate + PATIENCE[1]
        try:
            async with asyncio.timeout(most + LEAVES_WITHIN):  # the call is cancelled when even its end does not come
                result = await _Play(self, scenario, most, tell).run()
        except (WorldError, AriError, TimeoutError) as error:
            why = str(error) or f"it did not come to its end within {most + LEAVES_WITHIN:.0f} s"
            result = AudioResult(scenario, (Failure(scenario.fields.where, "a call between the two Asterisks", why),))
        return _with(result, ms=(time.perf_counter() - began) * 1000)

    async def dial(self, scenario: Scenario) -> tuple[Caller, AsteriskLine]:
        """The caller of a test calls; both ends of the call. Raises `WorldError`."""
        given, mark = scenario.fields.given, str(next(self._calls))
        async with self._dialling:
            coming: asyncio.Future[AsteriskLine] = asyncio.get_running_loop().create_future()
            self._expected = mark, coming
            caller = await self._outside.call(
                given.did, caller=given.caller.number, name=given.caller.name, timeout=RINGS_FOR,
                headers={**given.headers, MARK: mark},
            )  # fmt: skip
            try:
                async with asyncio.timeout(ARRIVES_WITHIN):
                    return caller, await coming
            except BaseException as error:
                await asyncio.shield(caller.hangs_up())
                if isinstance(error, TimeoutError):
                    raise WorldError(f"the call to {given.did} did not reach the engine") from None
                raise


class _Play:
    """One test under way."""

    def __init__(self, house: AudioHouse, scenario: Scenario, most: float, tell: Tell | None) -> None:
        self._house = house
        self._scenario = scenario
        self._most = most
        self._tell = tell

    async def run(self) -> AudioResult:
        """Call, follow the script, then listen to the recordings."""
        test = self._scenario.fields
        voice = AudioProvider(
            mouth=self._house.mouth, connects_after=world.provider(test.mocks.voice).connects_after
        )  # fmt: skip
        phone, inner = await self._house.dial(self._scenario)
        news, log = _News(self._tell), Log()
        log.on_entry = news.set
        caller = AudioCaller(phone, log, voice)
        answers = {target_of(name, self._scenario.library): list(how) for name, how in test.mocks.targets.items()}
        line = caller.line = AudioLine(inner, caller, log, Targets(answers), self._house.switchroom.place)
        turns = Turns(line, voice)
        caller.speaks = turns.spoken

        def begins(trace: Trace) -> None:
            trace.call.services.storage = self._house.folder / "storage"
            turns.trace = news.trace = trace

        async with beside(turns.watch()):
            clock = Clock(test.given.now or START)
            result = await carry_out(
                self._scenario, line, voice, news, clock=clock, within=self._most, begins=begins
            )  # fmt: skip
        return await self._heard(result, phone, line, turns)

    async def _heard(self, result: Result, phone: Caller, line: AudioLine, turns: Turns) -> AudioResult:
        """With what was measured on the recordings."""
        try:
            async with asyncio.timeout(OVER_WITHIN):
                await phone.is_over()
                await line.done()
            heard = await self._listen(phone, line, turns)
        except (WorldError, TimeoutError) as error:
            why = str(error) or f"not within {OVER_WITHIN:g} s"
            where = self._scenario.fields.where
            lost = Failure(where, "the call ends for both sides, and its recording is there", why)
            return _with(result, failures=(*result.failures, lost))
        return _with(result, hearing=heard, failures=(*result.failures, *_unheard(heard, self._scenario)))

    @staticmethod
    async def _listen(phone: Caller, line: AudioLine, turns: Turns) -> Hearing | None:
        zero = phone.up_at
        if zero is None:
            return None
        said, heard = await phone.recording()
        words = [Said(one.text, one.begins - zero, one.ends - zero, one.loud, one.index) for one in line.utterances]
        listens = [(begins - zero, ends - zero) for begins, ends in turns.listens]
        interruptions = [at - zero for at in turns.interruptions]
        afresh = [at - zero for at in line.afresh]
        return await asyncio.to_thread(measure, said, heard, words, listens, interruptions, afresh)


class _News(asyncio.Event):
    """Something happened in the call; whoever watches it is told what."""

    def __init__(self, tell: Tell | None) -> None:
        super().__init__()
        self.trace: Trace | None = None  # once the call begins
        self._tell = tell
        self._told: dict[tuple[str, int], str] = {}

    def set(self) -> None:
        """Say so."""
        super().set()
        if self._tell is None or self.trace is None:
            return
        for row in self.trace.rows():
            if self._told.get(row.key) != row.text:
                self._told[row.key] = row.text
                self._tell(replace(row, at=self.trace.line.log.now))


def _unheard(hearing: Hearing | None, scenario: Scenario) -> Iterable[Failure]:
    """What is wrong with the sound of a call."""
    if hearing is None:
        return
    where = scenario.fields.where
    for mute in hearing.mute:
        words = f"{mute.heard:.1f} s of sound were on their recording, {mute.sound:.1f} s were said"
        yield Failure(where, f'the caller hears "{mute.said.text}"', words, ("line", mute.said.index))
    if hearing.silence is not None and hearing.longest_silence > LONGEST_SILENCE:
        at = f"{hearing.longest_silence:.1f} s from second {hearing.silence[0]:.1f} after the answer"
        yield Failure(where, f"a caller who waits hears something within {LONGEST_SILENCE:g} s", at)
    if hearing.overlap is not None and hearing.longest_overlap > LONGEST_OVERLAP:
        at = f"it spoke on for {hearing.longest_overlap:.1f} s from second {hearing.overlap[0]:.1f} after the answer"
        yield Failure(where, f"the voice stops within {LONGEST_OVERLAP:g} s when the caller speaks over it", at)


def _with(result: Result, **changes: object) -> AudioResult:
    """A result with more in it."""
    known = {one.name: getattr(result, one.name) for one in fields(result)}
    return AudioResult(**{**known, **changes})
