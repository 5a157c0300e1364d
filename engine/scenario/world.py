"""What stands in for the world outside: endpoints that answer from the test, an AI that follows it, records kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from engine.audio import to_wav, tone
from engine.http import Http, HttpFailedError, Reply
from engine.listening import Recognisers
from engine.metrics import Metrics
from engine.prices import Prices
from engine.record import CallRecord
from engine.scenario.fields import AnswerFields, ReplyFields
from engine.scenario.text_voice import TextProvider
from engine.services import Clock, Services
from engine.speech import Speech
from engine.text import Texts
from engine.toolbox import FINISH
from engine.virtual import Calls, Fails, Says, VirtualProvider, virtual_clock
from engine.virtual.voice import Act
from engine.voices import Voices
from flows.json_schema import plain
from flows.resources import Endpoint
from providers.parts import TextModel
from providers.voice import Provider, VoiceError

SOUND_HZ = (440.0,)  # of a sound that an endpoint has
ACKNOWLEDGES = "I see."  # what the AI says to words for which the test has no answer


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an endpoint, ``at`` seconds after the call came. ``answer``: in words, for the report."""

    at: float
    endpoint: str
    method: str
    path: str
    body: Any
    answer: str
    is_mocked: bool


class Endpoints(Http):
    """Endpoints without a network."""

    def __init__(self, answers: Sequence[AnswerFields], asked: Callable[[], None]) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._answers = [(answer, [answer.times]) for answer in answers]
        self._asked = asked
        self._began = asyncio.get_running_loop().time()

    async def request(
        self, endpoint: Endpoint, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, idempotency_key: str | None = None,
    ) -> Reply:  # fmt: skip
        """The first answer that fits. A request that none fits has failed, and the test with it."""
        answer = await self._answered(endpoint, method, path, json, timeout)
        return Reply(answer.status, plain(answer.json_))

    async def fetch(self, endpoint: Endpoint, path: str, most: int, *, timeout: float | None = None) -> bytes:
        """A sound of one second, where an answer fits."""
        await self._answered(endpoint, "GET", path, None, timeout)
        law = Path(path.split("?")[0]).suffix[1:]
        return tone(SOUND_HZ, 1000, law) if law in ("ulaw", "alaw") else to_wav(tone(SOUND_HZ, 1000, "ulaw"), "ulaw")

    async def _answered(
        self, endpoint: Endpoint, method: str, path: str, json: Any, timeout: float | None
    ) -> AnswerFields:
        """The answer to a request that has one. Raises `HttpFailedError`."""
        answer = self._next(endpoint.name, method, path)
        limit = endpoint.timeout if timeout is None else timeout
        late = answer is not None and (answer.timeout or answer.delay >= limit)
        words = "no answer in `mocks`" if answer is None else "times out" if late else str(answer.status)
        at = asyncio.get_running_loop().time() - self._began
        self.requests.append(Request(at, endpoint.name, method, path, plain(json), words, answer is not None))
        self._asked()
        if answer is None:
            raise HttpFailedError(f"the test has no answer for {method} {endpoint.name} {path}")
        await asyncio.sleep(limit if late else answer.delay)
        if late:
            raise HttpFailedError(f"{endpoint.name} did not answer within {limit:g} s", kind="timeout")
        if answer.status >= 300:
            raise HttpFailedError(f"{endpoint.name} answered {answer.status} to {method}", status=answer.status)
        return answer

    def _next(self, endpoint: str, method: str, path: str) -> AnswerFields | None:
        for answer, left in self._answers:
            if left[0] != 0 and answer.match.fits(endpoint, method, path):
                if left[0] is not None:
                    left[0] -= 1
                return answer
        return None


class OneVoice(Voices):
    """Whichever voice a flow names, the test plays its part."""

    def __init__(self, provider: VirtualProvider) -> None:
        super().__init__()
        self._provider = provider

    def get(self, name: str) -> Provider:
        """The test's own."""
        return self._provider


class Watched:
    """Satisfies `engine.services.Keeper`: tells that something happened, at every step boundary."""

    def __init__(self, happened: Callable[[], None]) -> None:
        self._happened = happened

    async def save(self, record: CallRecord) -> None:
        """The record is the call's own; nothing else keeps it."""
        self._happened()


def provider(voice: str, model: TextModel | None = None) -> VirtualProvider:
    """The AI: a model's, or one that learns its replies as the script comes to them."""
    reached = 0.1 if voice == "works" else VoiceError("the test says that it cannot be reached", code="unreachable")
    return VirtualProvider(connects_after=reached) if model is None else TextProvider(model, connects_after=reached)


def replies(reply: ReplyFields | None) -> list[list[Act]]:
    """What the AI does when the caller has spoken: a reply for each tool, then the last one."""
    if reply is None:
        return [[Says(ACKNOWLEDGES)]]
    acts: list[Act] = [Says(reply.says)] if reply.says else []
    if reply.exit is not None:
        data = {} if reply.data is None else {"data": plain(reply.data)}
        acts.append(Calls(FINISH, {"exit": str(reply.exit), **data}))
    elif reply.fails:
        acts.append(Fails("the test says that it fails"))
    elif not acts:
        acts.append(Says(ACKNOWLEDGES))
    used: list[list[Act]] = [[Calls(name, plain(arguments))] for name, arguments in reply.tools.items()]
    return [*used, acts]


def services(
    voice: VirtualProvider, http: Http, happened: Callable[[], None], clock: Clock | None = None
) -> Services:  # fmt: skip
    """What the call needs around it. ``clock``: the virtual one when absent."""
    voices = OneVoice(voice)
    return Services(
        voices=voices, speech=Speech(voices, voice.name), http=http, records=Watched(happened),
        metrics=Metrics(CollectorRegistry()), clock=clock or virtual_clock(), engine="test", default_voice=voice.name,
        listening=Recognisers(voices, voice.name),
        texts=Texts(voices, voice.name), prices=Prices.free(),
    )  # fmt: skip
