"""A virtual line: a phone call without telephony, for tests of flows, verbs and the engine itself.

It keeps the promises of `engine.line.Line` and writes everything that happens into ``log``. Both ends are the test's:
``caller`` speaks, presses keys and hangs up when a script says so, and targets do what the table of targets says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Literal

from engine.audio import tone
from engine.line import DialOptions, Ending, Facts, Leg, LineError, LineGone
from engine.machine import Answerer, detect
from engine.playout import Listener
from engine.virtual.leg import Keys, VirtualLeg
from engine.virtual.log import Entry, Log
from engine.virtual.media import VirtualMedia
from engine.virtual.targets import Targets, refuse
from engine.virtual.words import duration_ms, spoken

FACTS: Final = Facts(
    id="call-1", did="+14155550100", caller="+14155550199", caller_name="Ada", trunk="carrier", channel="channel-1"
)
_FRAME: Final = 160  # bytes: 20 ms, as a telephone sends them

Command = Literal[
    "ring", "progress", "answer", "hangup", "give_back", "send_digits", "detect_machine", "open_media", "dial",
    "connect", "overhear", "close",
]  # fmt: skip


class CallOver(AssertionError):  # noqa: N818 - what it says
    """A script lets the caller act after the call has ended; the text shows what happened."""


class VirtualEar:
    """Satisfies `engine.machine.Ear`: what the telephone system itself hears of the caller."""

    def __init__(self, law: str) -> None:
        self.law = law
        self.listener: Listener | None = None
        self.heard = 0

    async def hears(self, audio: bytes) -> None:
        """The caller made a sound."""
        self.heard += 1
        if self.listener is not None:
            await self.listener(audio)


class VirtualLine:
    """Satisfies `engine.line.Line`. Make it inside a running loop, virtual or real.

    ``fallback``: whether something stands behind the engine to give the call back to. ``latency``: seconds that a
    command takes, as it does with real telephony. ``faults``: what a command does instead of working: an exception that
    it raises, or the seconds that it takes.
    """

    def __init__(
        self, facts: Facts = FACTS, targets: Mapping[str, object] | None = None, *, fallback: bool = False,
        format: Literal["ulaw", "alaw"] = "ulaw", latency: float = 0.0,
        faults: Mapping[Command, Exception | float] | None = None,
    ) -> None:  # fmt: skip
        self.facts = facts
        self.log = Log()
        self.legs: list[VirtualLeg] = []  # every one that was ever dialled
        self.medias: list[VirtualMedia] = []  # every one that was ever opened
        self.ears: list[tuple[VirtualMedia, VirtualMedia]] = []  # who overhears: the caller, and the other side
        self.caller = Caller(self)
        self.ear = VirtualEar(format)
        self.keys = Keys()
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.is_answered = False
        self.connected: VirtualLeg | None = None  # whom the caller hears
        self.peer: VirtualLeg | None = None  # the same, when an earlier engine connected them
        self._targets = Targets(targets or {})
        self._fallback = fallback
        self._format = format
        self._latency = latency
        self._faults = dict(faults or {})
        self._rings = False
        self._given_back = False

    @property
    def media(self) -> VirtualMedia | None:
        """The open media leg, if there is one."""
        return self.medias[-1] if self.medias and not self.medias[-1].closed else None

    @property
    def left_over(self) -> list[str]:
        """What is still there. Empty after `close`, whose log entries tell what the engine had not hung up itself."""
        left = [f"leg to {leg.target}" for leg in self.legs if not leg.ended.done()]
        left += [f"media of {media.who}" for media in self.medias if not media.closed]
        left += ["an ear"] * len(self.ears)
        return left if self.ended.done() else [*left, "the caller"]

    # ── engine.line.Line ──────────────────────────────────────────────────────────────────────────────────────────────

    async def ring(self) -> None:
        """Tell the caller that it rings."""
        await self._command("ring")
        if not self._rings and not self.is_answered:
            self._rings = True
            self.log.add("caller", "rings")

    async def progress(self) -> None:
        """Let the caller hear the engine before the answer."""
        await self._command("progress")
        if not self.is_answered:
            self.log.add("caller", "progress")

    async def answer(self) -> None:
        """Answer. Idempotent. Raises `LineGone`."""
        await self._command("answer")
        if not self.is_answered:
            self.is_answered = True
            self.log.add("caller", "answered")

    async def hangup(self, cause: int = 16) -> None:
        """Hang up, or refuse. Idempotent."""
        await self._command("hangup", needs_caller=False)
        self.end("engine", cause)

    async def give_back(self) -> bool:
        """Return the call to what stands behind the engine. False when there is nothing."""
        await self._command("give_back")
        if self._fallback:
            self.log.add("caller", "given_back")
            self._given_back = True
        return self._fallback

    async def digit(self) -> str:
        """The caller's next key. Raises `LineGone` when the caller is gone."""
        return await self.keys.read()

    async def peek_digit(self, since: int = 0) -> tuple[int, str]:
        """The first unread key from number ``since`` on, and its number; it stays unread."""
        return await self.keys.peek(since)

    def drop_digits(self) -> None:
        """Forget keys pressed so far."""
        self.keys.forget()

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to the caller."""
        await self._command("send_digits")
        self.log.add("caller", "sent_digits", digits)

    async def detect_machine(self, *, timeout: float, max_words: int) -> Answerer:
        """Who speaks. Hookflash's own detector stands in for the telephone system's."""
        await self._command("detect_machine")
        return await detect(self.ear, timeout=timeout, max_words=max_words)

    async def open_media(self) -> VirtualMedia:
        """Audio between the caller and the engine. Raises `LineGone`."""
        await self._command("open_media")
        if self.media is None:
            self.medias.append(VirtualMedia("caller", self.log, self._format, self._latency))
        return self.medias[-1]

    async def dial(self, target: str, options: DialOptions) -> VirtualLeg:
        """Start dialling. Raises `LineError` for a target that is impossible or not in the table, and for what the real
        line would not put into a dial string or an INVITE."""
        await self._command("dial")
        try:
            refuse(target, options, self.facts.caller)
        except LineError:
            self.log.add(target, "refused", "impossible")
            raise
        behaviour = self._targets.dialled(target)
        if behaviour is None or behaviour.status == "impossible":
            reason = "the test's table of targets does not have it" if behaviour is None else "the table says so"
            self.log.add(target, "refused", "impossible")
            raise LineError(f"{target} cannot be dialled: {reason}")
        channel = f"{self.facts.channel or self.facts.id}-{len(self.legs) + 2}"
        leg = VirtualLeg(target, channel, behaviour, options, self.log, self._format, self._latency)
        self.legs.append(leg)
        leg.ended.add_done_callback(lambda _: self._left(leg))
        leg.heard = lambda audio: self._overheard(leg, audio)
        return leg

    async def connect(self, leg: Leg) -> None:
        """Let caller and leg hear each other, in place of the engine's audio. Raises `LineError`, `LineGone`."""
        await self._command("connect")
        if not isinstance(leg, VirtualLeg) or not leg.is_answered or leg.ended.done():
            raise LineError(f"{leg.target} is not on the line")
        if self.media is not None:
            self.media.end(f"connected to {leg.target}")
        if leg.media is not None:
            leg.media.end("connected to the caller")
        self.connected = leg
        self.log.add(leg.target, "connected")

    @asynccontextmanager
    async def overhear(self) -> AsyncIterator[tuple[VirtualMedia, VirtualMedia]]:
        """What the caller says, and what a person who is connected says. Raises `LineError`, `LineGone`."""
        await self._command("overhear")
        ears = tuple(VirtualMedia(f"an ear at the {side}", Log(), self._format) for side in ("caller", "other side"))
        self.ears.append((ears[0], ears[1]))
        try:
            yield ears[0], ears[1]
        finally:
            self.ears.remove((ears[0], ears[1]))

    async def close(self) -> None:
        """Release everything. Idempotent."""
        await self._command("close", needs_caller=False)
        for leg in self.legs:
            leg.release()
        if self._given_back and not self.ended.done():
            self._gone(Ending(16, None, "given back"))
        self.end("close", 16)

    def recall(self, facts: Facts) -> None:
        """What is known of the call from before."""
        self.facts = facts

    def let_be(self) -> None:
        """Let go of the call and its peer; they talk on."""
        self.log.add("caller", "let_be")

    # ── The world's side ──────────────────────────────────────────────────────────────────────────────────────────────

    def end(self, by: Literal["caller", "engine", "close"], cause: int = 16) -> None:
        """The caller's side is gone. Idempotent; a call that was given back goes on without us."""
        if not self.ended.done() and not self._given_back:
            self.log.add("caller", "hung_up", by)
            self._gone(Ending(cause, None, by))

    def _gone(self, ending: Ending) -> None:
        if self.media is not None:
            self.media.end(f"the call is over: {ending.text}")
        self.keys.gone()
        self.connected = None
        self.ended.set_result(ending)

    def _overheard(self, leg: VirtualLeg, audio: bytes) -> None:
        if self.connected is leg:
            for _, ear in self.ears:
                ear.hear(audio)

    def _left(self, leg: VirtualLeg) -> None:
        if self.connected is leg:
            self.connected = None

    async def _command(self, name: Command, *, needs_caller: bool = True) -> None:
        fault = self._faults.get(name)
        if isinstance(fault, Exception):
            raise fault
        await asyncio.sleep(self._latency if fault is None else fault)
        if needs_caller and self.ended.done():
            raise LineGone("the caller is gone")


class Caller:
    """Who calls. A script says what they do; each method returns when it is done."""

    def __init__(self, line: VirtualLine) -> None:
        self._line = line

    async def says(self, text: str, seconds: float | None = None) -> None:
        """Speak, for so long, to whoever listens: the engine, or the person who is connected. Raises `CallOver`."""
        line = self._line
        self._must_be_there(f"say {text!r}")
        ms = duration_ms(text) if seconds is None else round(seconds * 1000)
        line.log.add("caller", "said", text, ms)
        await self._sounds(spoken(text, ms, line.media.format if line.media is not None else "ulaw"))

    async def beeps(self, hertz: float = 1000.0, seconds: float = 0.4) -> None:
        """Beep, as an answering machine does before it records. Raises `CallOver`."""
        self._must_be_there("beep")
        self._line.log.add("caller", "beeped", "", round(seconds * 1000))
        law = self._line.media.format if self._line.media is not None else "ulaw"
        await self._sounds(tone((hertz,), round(seconds * 1000), law))

    async def _sounds(self, audio: bytes) -> None:
        """Send audio as a telephone does, to whoever listens."""
        line = self._line
        for start in range(0, len(audio), _FRAME):
            await asyncio.sleep(0.020)
            if line.ended.done():
                return
            await line.ear.hears(audio[start : start + _FRAME])
            for media in (line.media, *(ear for ear, _ in line.ears)):
                if media is not None:
                    media.hear(audio[start : start + _FRAME])

    async def presses(self, keys: str, every: float = 0.3) -> None:
        """Press keys one after the other, so many seconds apart. Raises `CallOver`."""
        for number, key in enumerate(keys):
            if number:
                await asyncio.sleep(every)
            self._must_be_there(f"press {key}")
            self._line.log.add("caller", "pressed", key)
            self._line.keys.press(key)

    async def waits(self, seconds: float) -> None:
        """Do nothing for so long."""
        await asyncio.sleep(seconds)

    async def hears(self, text: str, within: float = 60.0) -> Entry:
        """Wait until an utterance with these words was heard, or cut off. Raises `NeverHappened`."""
        return await self._line.log.until("heard", "cut", who="caller", text=text, within=within)

    async def hangs_up(self, cause: int = 16) -> None:
        """Hang up. Raises `CallOver` when there is nothing to hang up."""
        self._must_be_there("hang up")
        self._line.end("caller", cause)
        await asyncio.sleep(0)

    def _must_be_there(self, act: str) -> None:
        if self._line.ended.done():
            raise CallOver(f"the caller cannot {act}: the call is over. What happened:\n{self._line.log}")
