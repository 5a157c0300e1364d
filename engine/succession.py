"""Who speaks in a `converse` step, and who goes on when that voice fails: the next one, knowing what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from engine.accounts import FULL
from engine.usage import settle
from engine.voices import close
from providers.voice import Capabilities, Session, Voice, VoiceError

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

TAKE_OVER_WITHIN = 3.0  # seconds for one voice to connect in the middle of a talk
TAKING_OVER = (
    "You take over this conversation in its middle, because the connection of the voice before you broke. Do not greet "
    "and do not introduce yourself: answer what the caller said last, or say again what was cut off."
)
RENEWED = "This conversation has been going on for a while; go on with it, and do not greet."
RUNNING = "Still running, do not call again; you will be told what they say:"
LOST = "gone"  # the code of a session that ended without a reason that would hold for the next one
RETRY_AFTER = 30.0  # seconds until a lost connection is tried again at the same provider
REMEMBERED = 20  # results of tools that a new voice is told
LENGTH = 600  # characters of each


@dataclass(frozen=True, slots=True)
class Seat:
    """A voice that is connected. ``number`` counts the voices of this talk from 0."""

    name: str
    voice: Voice
    capabilities: Capabilities
    number: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A voice is gone or useless. ``voice``: which of them; None: the call's own audio is gone."""

    reason: str
    voice: int | None
    code: str = LOST


class Succession:
    """The voices of one talk. ``session(name, notes)`` is what the voice of that provider is told when it connects;
    ``notes`` are lines for its instructions. Whoever makes it calls `end` when the talk is over.
    """

    def __init__(
        self, call: Call, names: Sequence[str], session: Callable[[str, str], Session], connect_within: float
    ) -> None:
        self._call = call
        self._left = list(names)
        self._session = session
        self._connect_within = connect_within
        self._seats = 0
        self._clock = asyncio.get_running_loop().time
        self._retried_at = -RETRY_AFTER
        self._learnt: list[str] = []
        self._lessons = self._told = 0  # answers of tools so far, and those that the voice which came last knows
        self._running: dict[str, str] = {}  # tools that have not answered yet
        self._open: dict[int, Seat] = {}

    def goes_on(self, after: Seat, code: str) -> bool:
        """Whether there is somebody who could take over: the next in the list, or at its end a new session of the same
        provider when only the connection was lost, unless that was tried just now.
        """
        if not self._left and code == LOST and self._clock() - self._retried_at > RETRY_AFTER:
            self._retried_at = self._clock()
            self._left = [after.name]
        return bool(self._left)

    def began(self, key: str, tool: str, arguments: str) -> None:
        """A tool runs, which a voice that takes over shall not run again."""
        self._running[key] = f"- {tool}({arguments[:LENGTH]})"

    def learn(self, key: str, answer: str | None) -> None:
        """A tool has ended; what it said (None: nothing) a voice that takes over must know."""
        asked = self._running.pop(key, None)  # a voice may ask twice in the same words: told once is enough
        if asked is not None and answer is not None:
            self._learnt = [*self._learnt, f"{asked} said {answer[:LENGTH]}"][-REMEMBERED:]
            self._lessons += 1

    def notes(self, head: str = TAKING_OVER) -> str:
        """What a voice that takes over is told beside the conversation."""
        said = ("What your tools have said so far:", *self._learnt) if self._learnt else ()
        runs = (RUNNING, *self._running.values()) if self._running else ()
        return "\n".join((head, *said, *runs))

    @property
    def has_news(self) -> bool:
        """Whether a tool has answered since the voice that took over was told what they said."""
        return self._lessons > self._told

    def instructions(self, name: str) -> str:
        """What a voice that took over is told from now on: a tool of the one before has answered."""
        self._told = self._lessons
        return self._session(name, self.notes()).instructions

    def talks(self, seat: Seat) -> bool:
        """Whether this voice still has a session."""
        return seat.number in self._open

    async def first(self) -> Seat:
        """The voice that begins. Raises `VoiceError` with what each one said when none could be reached."""
        return await self._connect(None, self._connect_within)

    async def next(self, after: Seat, reason: str) -> Seat:
        """The voice that takes over. Raises `VoiceError`."""
        call = self._call
        try:
            seat = await self._connect(TAKING_OVER, min(TAKE_OVER_WITHIN, self._connect_within))
        except VoiceError as error:
            log.warning("nobody could take over", provider=after.name, reason=reason, error=str(error))
            raise
        call.said("system", f"{seat.name} took over from {after.name}: {reason}")
        call.services.metrics.take_overs.labels(after.name, seat.name).inc()
        log.warning(
            "another voice took over", provider=seat.name, before=after.name, reason=reason, call=call.record.id
        )
        return seat

    async def again(self, name: str) -> Seat:
        """A new session of the same provider, before the old one must end. Raises `VoiceError`."""
        try:
            return await self._seat(name, RENEWED, self._connect_within)
        except VoiceError as error:
            log.warning("a session could not be renewed", provider=name, error=str(error), call=self._call.record.id)
            raise

    def leave(self, seat: Seat) -> None:
        """Close a voice, once; what comes next does not wait for it."""
        if self._open.pop(seat.number, None) is not None:
            self._call.services.metrics.voice(seat.name).sessions.dec()
            self._call.errand(settle(self._call, seat.voice, seat.name), f"close of {seat.name}")

    def end(self) -> None:
        """Nobody talks any more: close every voice that was connected, however the talk came to its end."""
        for seat in tuple(self._open.values()):
            self.leave(seat)

    def spoke(self, name: str) -> None:
        """A voice gave an answer: it works. That it could be connected says little: so it can be without any credit."""
        self._call.services.voices.breaker(name).succeeded()

    def failed(self, name: str, code: str) -> None:
        """A voice broke down in the middle of its talk."""
        services = self._call.services
        services.metrics.provider_errors.labels(name, code).inc()
        if code != FULL and services.voices.breaker(name).failed(self._clock()):
            log.warning("a provider failed again and again and is not asked for a while", provider=name)

    async def _connect(self, head: str | None, within: float) -> Seat:
        refused: list[str] = []
        for name in self._in_order():
            self._left.remove(name)
            self._call.services.voices.breaker(name).asked(self._clock())
            try:
                return await self._seat(name, head, within)
            except VoiceError as error:
                self.failed(name, error.code or "connect")
                refused.append(f"{name}: {error}")
                log.warning(
                    "a voice could not be connected", provider=name, error=str(error), call=self._call.record.id
                )
        raise VoiceError("; ".join(refused) or "nobody is left to take over", code="nobody")

    def _in_order(self) -> list[str]:
        """As the flow has it, but who failed in other calls just now comes last."""
        now, voices = self._clock(), self._call.services.voices
        return sorted(self._left, key=lambda name: not voices.breaker(name).allows(now))

    async def _seat(self, name: str, head: str | None, within: float) -> Seat:
        provider = self._call.services.voices.get(name)
        self._told = self._lessons
        session = self._session(name, "" if head is None else self.notes(head))
        self._call.talk = name, session
        voice = provider.voice(session)
        started = self._clock()
        try:
            async with asyncio.timeout(within):
                await voice.connect()
        except BaseException as error:
            self._call.errand(close(voice, name), f"close of {name}")
            if isinstance(error, TimeoutError):
                raise VoiceError(f"no session within {within:g} s", code="timeout") from None
            if isinstance(error, Exception) and not isinstance(error, VoiceError):  # a mistake, perhaps a plugin's
                log.exception("a voice could not be connected in a way that it does not know", provider=name)
                raise VoiceError(f"{type(error).__name__}: {error}", code="error") from error
            raise
        took = self._clock() - started
        metrics = self._call.services.metrics.voice(name)
        metrics.connect.observe(took)
        metrics.sessions.inc()
        if self._call.account is not None:
            self._call.record.steps[-1].data["account"] = self._call.account
        self._call.record.timings.setdefault("voice_ready_ms", round(took * 1000, 2))
        seat = Seat(name, voice, provider.capabilities, self._seats)
        self._seats += 1
        self._open[seat.number] = seat
        return seat
