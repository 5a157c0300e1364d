"""The vendors of a cascade, who hears and speaks and who thinks, as one: scripts and faults as the realtime emulators
have them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.emulators import azure_speech, google_speech
from tests.emulators.chat_completions import Answer
from tests.emulators.chat_completions import Emulator as Model
from tests.emulators.chat_completions import Faults as ModelFaults
from tests.emulators.faults import Faults
from tests.emulators.openai_realtime.model import Call, Empty, Fail, Say, Turn
from tests.emulators.openai_realtime.sound import tone_voice

STATUSES = {
    401: grpc.StatusCode.UNAUTHENTICATED, 429: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE,
}  # fmt: skip
TRIES = 3  # of a request to a text model
ELSE = "What else can I do for you?"


def answer(turn: Turn, number: int) -> Answer:
    """A turn of a script as chat completions have it."""
    match turn:
        case Say(text):
            return Answer(text)
        case Call():
            calls = enumerate((turn, *turn.more))
            asked = tuple((f"call_{number}_{index}", call.tool, json.dumps(call.arguments)) for index, call in calls)
            return Answer(turn.say, calls=asked)
        case Empty():
            return Answer("")
        case Fail():
            return Answer(refusal="I cannot help with that.")


@dataclass
class Judge:
    """What the vendors' types refuse, of all parts."""

    problems: list[str] = field(default_factory=list)
    checked: int = 1


class Parts:
    """`async with Parts(script=…, heard=…) as vendors:` then make the voice with `vendors.settings`."""

    def __init__(
        self, *, script: Sequence[Turn] = (), heard: Sequence[str] = (), faults: Faults | None = None,
        voice: Any = tone_voice, pace: float = 10.0, oracle: bool = True,
    ) -> None:  # fmt: skip
        self.oracle = Judge() if oracle else None
        answers = [answer(turn, number) for number, turn in enumerate(script)]
        self.model = Model([*answers, Answer(ELSE)])
        self._faults = Faults()
        self.faults = faults or Faults()
        self._stack = AsyncExitStack()
        self.speech = self._speech(list(heard) or ["Hello."], voice, pace)

    def _speech(self, heard: list[str], voice: Any, pace: float) -> Any:
        raise NotImplementedError

    @property
    def faults(self) -> Faults:
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        """They may change during a conversation; what concerns the text model holds from its next request on."""
        if faults.stall:
            self.model.faults = ModelFaults(hang=True)
        elif faults.error is not None:
            code, message = faults.error
            error = {"code": code, "message": message, "type": code}
            self.model.faults = ModelFaults(statuses=(429,) * 99, error=error)
        self._faults = faults

    async def __aenter__(self) -> Any:
        await self._stack.enter_async_context(self.model)
        await self._stack.enter_async_context(self.speech)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        if self.oracle is not None:
            self.oracle.problems += [*self.speech.problems, *self.model.oracle.problems]

    @property
    def settings(self) -> dict[str, str]:
        return {"text_url": self.model.url, "text_model": "house"}

    @property
    def conversations(self) -> list[Any]:
        """They are not told apart: what is done to one is done to all."""
        return [self]

    @property
    def client_events(self) -> list[Any]:
        return self.model.requests

    @property
    def open_sessions(self) -> int:
        return int(self.speech.open)


class Google(Parts):
    lacks = frozenset({
        "hang_upgrade", "no_session", "refuse_session", "close", "fall_silent", "late_deltas", "phantom", "empty_turns",
        "out_of_order", "rate_limit", "go_away", "garbage", "stop_reading",
    })  # fmt: skip

    def _speech(self, heard: list[str], voice: Any, pace: float) -> google_speech.Emulator:
        faults = self.faults
        found = google_speech.Faults(
            refuses=STATUSES[faults.http_status] if faults.http_status else None, duplicate=faults.duplicate,
            delay=faults.delay_ms / 1000, stops_reading=0 if faults.stop_reading else None, speech_silent=faults.stall,
        )  # fmt: skip
        return google_speech.Emulator(heard, voice=voice, faults=found, pace=None if faults.burst else pace)

    @property
    def settings(self) -> dict[str, str]:
        return {**super().settings, **self.speech.settings}

    @property
    def heard_ms(self) -> float:
        return sum(map(len, self.speech.audio)) / 8

    async def drop(self) -> None:
        await self.speech.drop()


class Azure(Parts):
    lacks = frozenset({
        "no_session", "refuse_session", "late_deltas", "phantom", "empty_turns", "out_of_order", "rate_limit",
        "go_away", "fall_silent", "stop_reading",
    })  # fmt: skip

    def _speech(self, heard: list[str], voice: Any, pace: float) -> azure_speech.AzureSpeech:
        faults = self.faults
        found = azure_speech.Faults(
            http_status=faults.http_status, hang_upgrade=faults.hang_upgrade, stop_reading=faults.stop_reading,
            garbage=faults.garbage, delay_ms=faults.delay_ms, duplicate=faults.duplicate, burst=faults.burst,
            stop_after_ms=0 if faults.stall else None,
        )  # fmt: skip
        return azure_speech.AzureSpeech(heard=heard * 9, voice=voice, faults=found, pace=pace)

    @property
    def settings(self) -> dict[str, str]:
        return {**super().settings, "endpoint": self.speech.url}

    @property
    def heard_ms(self) -> float:
        found = [each for each in self.speech.connections if isinstance(each, azure_speech.Recognition)]
        return sum(len(each.audio) / each.format.bytes_per_ms for each in found if each.format is not None)

    async def drop(self) -> None:
        for each in self.speech.connections:
            if each.request.transport is not None:
                each.request.transport.abort()

    async def shut(self) -> None:
        code, reason = self.faults.close_code, self.faults.close_reason.encode()
        await asyncio.gather(*(each.socket.close(code=code, message=reason) for each in self.speech.connections))
