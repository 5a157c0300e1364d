"""Emulated speech to text: hears by energy, and takes the words from the test."""

from __future__ import annotations

import asyncio
from typing import Any

from providers.energy import EnergyDetector
from providers.voice import AudioFormat
from tests.emulators.azure_speech import usp
from tests.emulators.azure_speech.connection import Connection

TICKS_PER_MS = 10_000  # offsets are told in units of 100 ns
ENCODINGS = {1: "pcm16", 6: "alaw", 7: "ulaw"}


class Recognition(Connection):
    """`audio` is what was heard on this connection, all its turns one after the other."""

    format: AudioFormat | None = None

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.audio = bytearray()
        self.contexts: list[dict[str, Any]] = []
        self.ends = 0  # how often the client said that no more audio comes
        self._request = ""
        self._heard = self._since = 0  # bytes of this turn
        self._spoken = self._begun = False
        self._phrase: list[str] = []

    async def _take(self, message: usp.Message) -> None:
        match message.path:
            case "speech.config":
                message.json()["context"]["system"]["version"]
            case "speech.context":
                self.contexts.append(message.json())
                if not message.request:
                    raise ValueError("speech.context without X-RequestId")
            case "audio":
                await self._hear(message)
            case "telemetry":
                message.json()
            case other:
                raise ValueError(f"a message that the service does not know: {other}")

    async def _hear(self, message: usp.Message) -> None:
        if message.request != self._request:
            await self._begin(message.request)
        if message.headers.get("content-type", "").startswith("audio/x-wav"):
            self._read_header(message.body)
            return
        if self.format is None:
            raise ValueError("audio before the header of a WAV")
        await self._misbehave()
        if not message.body:
            self.ends += 1
            await self._end_of_stream()
            return
        self.audio += message.body
        self._heard += len(message.body)
        for edge in self._ears.feed(message.body):
            await (self._starts() if edge.speaking else self._stops())
        limit = self.faults.end_turn_after_ms
        if limit is not None and not self._begun and self._ms >= limit:
            await self._end_turn()

    async def _begin(self, request: str) -> None:
        self._request = request
        self._heard = 0
        self._begun = self._spoken = False
        if self.format is not None:
            self._ears = EnergyDetector(self.format, min_silence_ms=self.service.pause_ms)
        await self.tell("turn.start", request, context={"serviceTag": usp.new_id()})

    def _read_header(self, header: bytes) -> None:
        tag, rate, bits = usp.riff_format(header)
        if tag not in ENCODINGS or bits != (16 if tag == 1 else 8):
            raise ValueError(f"audio of format {tag} with {bits} bits")
        self.format = AudioFormat(ENCODINGS[tag], rate)  # type: ignore[arg-type]
        self._ears = EnergyDetector(self.format, min_silence_ms=self.service.pause_ms)

    @property
    def _ms(self) -> int:
        assert self.format is not None
        return self._heard // self.format.bytes_per_ms

    # ── What it understands ───────────────────────────────────────────────────────────────────────────────────────────

    async def _starts(self) -> None:
        """Like the service: speech is told to begin once a turn, phrases follow each other within it."""
        self._begun, self._since = True, self._ms
        if not self._spoken:
            self._spoken = True
            await self._result("speech.startDetected", Offset=self._ms * TICKS_PER_MS)
        text = self.service.heard.pop(0) if self.service.heard else "[sound]"
        self._phrase = text.split(" ")
        for count in range(1, len(self._phrase)):
            await self._result("speech.hypothesis", **self._where(), Text=" ".join(self._phrase[:count]).lower())

    async def _stops(self) -> None:
        self._begun = False
        if self.faults.nothing_understood:
            await self._result("speech.phrase", **self._where(), RecognitionStatus="NoMatch")
            return
        words = " ".join(self._phrase)
        best = [{"Confidence": 0.9, "Lexical": words.lower(), "ITN": words, "MaskedITN": words, "Display": words}]
        asked = self.contexts[-1].get("phraseOutput", {}).get("format") or self.request.query.get("format", "simple")
        detail = {"NBest": best} if asked.lower() == "detailed" else {}
        await self._result("speech.phrase", **self._where(), RecognitionStatus="Success", DisplayText=words, **detail)

    def _where(self) -> dict[str, Any]:
        length = max(1, self._ms - self._since)
        return {
            "Id": usp.new_id(), "Offset": self._since * TICKS_PER_MS, "Duration": length * TICKS_PER_MS, "Channel": 0,
        }  # fmt: skip

    async def _end_of_stream(self) -> None:
        if self.faults.silent_end or self.faults.no_results:
            return
        if self._begun:
            await self._stops()
        if self._spoken:
            await self._result("speech.endDetected", Offset=self._ms * TICKS_PER_MS)
        where = {"Id": usp.new_id(), "Offset": self._ms * TICKS_PER_MS, "Duration": 0, "Channel": 0}
        await self._result("speech.phrase", **where, RecognitionStatus="EndOfDictation")
        await self._result("turn.end")
        self._request = ""

    async def _end_turn(self) -> None:
        await self._result("speech.endDetected", Offset=self._ms * TICKS_PER_MS)
        await self._result("turn.end")

    async def _result(self, path: str, /, **body: Any) -> None:
        if self.faults.no_results:
            return
        for _ in range(2 if self.faults.duplicate and path != "turn.end" else 1):
            if self.faults.delay_ms:
                self._group.create_task(self._later(path, self._request, body))
            else:
                await self.tell(path, self._request, **body)

    async def _later(self, path: str, request: str, body: dict[str, Any]) -> None:
        await asyncio.sleep(self.faults.delay_ms / 1000)
        await self.tell(path, request, **body)
