"""The I/O of a voice that listens while it speaks: on a socket of the test's own, and what becomes of its tasks."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientConnectionError, WSMessage, WSMsgType

from providers import duplex_voice
from providers.duplex import Duplex
from providers.duplex_voice import DuplexVoice
from providers.voice import Audio, Failed, Session, TurnDone, Turns, VoiceText
from tests.emulators.openai_realtime import tone
from tests.providers.conftest import Owner, owned


class Socket:
    """A websocket on which a test says what comes, and when what is written goes out."""

    close_code = None

    def __init__(self) -> None:
        self.transport = SimpleNamespace(abort=self.lose)
        self.writes = asyncio.Event()  # somebody waits for the network
        self.free = asyncio.Event()
        self.lost = False
        self._frames: asyncio.Queue[WSMessage] = asyncio.Queue()
        self.tells("session.started", session={"id": "s"})

    def tells(self, kind: str, **fields: Any) -> None:
        self.comes(WSMsgType.TEXT, json.dumps({"type": kind, "event_id": "e", **fields}))

    def comes(self, type: WSMsgType, data: Any = None) -> None:
        self._frames.put_nowait(WSMessage(type, data, None))

    def lose(self) -> None:
        self.lost = True
        self.free.set()
        self.comes(WSMsgType.CLOSED)

    async def receive(self, timeout: float | None = None) -> WSMessage:
        return await self._frames.get()

    async def send_str(self, frame: str) -> None:
        if '"session.start"' not in frame:
            self.writes.set()
            await self.free.wait()
        if self.lost:
            raise ClientConnectionError

    async def close(self) -> None:
        self.lose()


class Voice(DuplexVoice):
    """On such a socket, and with a clock of the test's own."""

    def __init__(self, **fields: Any) -> None:
        self.now = 1000.0
        wire = Duplex(Session(**fields), {"model": "m"}, clock=lambda: self.now)
        super().__init__("the voice", lambda: None, "", {}, wire)  # type: ignore[arg-type, return-value]
        self.wire = wire
        self.socket = Socket()

    async def _upgrade(self) -> Any:
        return self.socket

    def sounds(self, ms: int = 100) -> None:
        self.socket.tells("session.output_audio.delta", delta=b64encode(tone(ms)).decode())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplex_voice, "TICK", 0.001)
    monkeypatch.setattr(duplex_voice, "HANG_UP_WITHIN", 0.01)


def order(owner: Owner) -> list[str]:
    return [type(event).__name__ for event in owner.events[1:]]


async def test_a_frame_is_told_before_what_the_clock_tells_after_it() -> None:
    """The frame is answered, and the network does not take the answer; meanwhile time passes."""
    voice = Voice(turns=Turns(interruptible=False))
    async with owned(voice) as owner:
        voice.sounds()
        await voice.socket.writes.wait()
        voice.now += 5
        await owner.next(TurnDone)
        voice.socket.free.set()
        await owner.next(Audio)
        assert order(owner) == ["Audio", "TurnDone"]


async def test_a_frame_of_any_type_is_told_once() -> None:
    voice = Voice()
    async with owned(voice) as owner:
        voice.sounds()
        voice.socket.comes(WSMsgType.BINARY, b'{"type": "session.output_transcript.delta", "delta": "Hello."}')
        await owner.next(VoiceText)
        voice.now += 5
        await owner.next(TurnDone)
        assert order(owner) == ["Audio", "VoiceText", "VoiceText", "TurnDone"]


@pytest.mark.parametrize("part", ["tick", "flush"])
async def test_a_clock_that_fails_ends_the_session_and_says_so(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = Voice(turns=Turns(interruptible=False))

    def fails(*_: Any) -> Any:
        raise RuntimeError("nobody thought of that")

    async with owned(voice) as owner:
        if part == "tick":
            monkeypatch.setattr(voice.wire, "tick", fails)
            voice.wire.say("Hello.")  # it is awaited: the clock looks after it
        else:
            voice.socket.free.set()
            voice.sounds()
            await owner.next(Audio)
            monkeypatch.setattr(voice.socket, "send_str", fails)
            voice.now += 5
        failed = await owner.next(Failed)
        async with asyncio.timeout(5):
            await owner.over.wait()
    assert (failed.code, failed.recoverable) == ("internal", True)
    assert failed.message == "the voice failed inside: RuntimeError: nobody thought of that"
    assert owner.events[-1] == failed


async def test_work_that_cannot_even_be_excused_ends_the_session_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaks:
        async def work(self, *_: Any) -> str:
            raise ValueError

    def fails(*_: Any) -> None:
        raise RuntimeError("no words")

    voice = Voice()
    voice._delegate = Breaks()  # type: ignore[assignment]
    monkeypatch.setattr(voice.wire, "instruct", fails)
    async with owned(voice) as owner:
        voice.socket.tells("session.delegation.created", delegation={"id": "d", "target": "client"})
        failed = await owner.next(Failed)
    assert failed.message == "the voice failed inside: RuntimeError: no words"
