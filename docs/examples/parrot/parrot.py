import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count

from providers.energy import EnergyDetector
from providers.voice import (
    Audio,
    Capabilities,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    TurnDone,
    VoiceError,
    VoiceEvent,
)

CAPABILITIES = Capabilities(turn_detection=True)
SYLLABLE = (b"\x10" * 8 + b"\x90" * 8) * 80 + b"\xff" * 320  # 160 ms of 500 Hz and 40 ms of nothing, in µ-law


class ParrotVoice:
    def __init__(self) -> None:
        self._events: asyncio.Queue[VoiceEvent | None] = asyncio.Queue()
        self._ears = EnergyDetector()
        self._heard = bytearray()
        self._numbers = count(1)
        self._closed = False

    async def connect(self) -> None:
        self._events.put_nowait(Ready())

    async def events(self) -> AsyncIterator[VoiceEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        self._heard += audio
        for edge in self._ears.feed(audio):
            if edge.speaking:
                self._tell(SpeechStarted())
            else:
                self._tell(SpeechStopped())
                self._speak(bytes(self._heard))
        if not self._ears.speaking:
            del self._heard[:-1600]  # by the time it is sure that somebody speaks, this much of it is past

    async def say(self, text: str) -> None:
        self._speak(SYLLABLE * len(text.split()))

    async def answer(self) -> None:
        self._speak(SYLLABLE)

    def _speak(self, audio: bytes) -> None:
        if audio and not self._closed:
            item = f"item_{next(self._numbers)}"
            self._tell(Audio(audio, item))
            self._tell(TurnDone("completed", item=item))

    def _tell(self, event: VoiceEvent | None) -> None:
        if not self._closed:
            self._events.put_nowait(event)

    async def interrupt(self) -> None:
        """Everything it says it has said already: the engine silences the line."""

    async def truncate(self, item: str, played_ms: int) -> None: ...

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None: ...

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None: ...

    async def close(self) -> None:
        self._tell(None)
        self._closed = True


class Parrot:
    name = "parrot"
    capabilities = CAPABILITIES

    def voice(self, session: Session) -> ParrotVoice:
        if session.format not in self.capabilities.formats:
            raise VoiceError(f"the parrot hears µ-law, not {session.format}", code="format")
        return ParrotVoice()

    def speaker(self) -> None:
        return None

    def recogniser(self, **asked: object) -> None:
        return None

    def text_model(self) -> None:
        return None

    async def close(self) -> None: ...


def provider(settings: Mapping[str, str]) -> Parrot:
    return Parrot()
