"""Emulated text to speech: reads SSML and speaks it in the format asked for."""

from __future__ import annotations

import asyncio
import audioop
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from providers.sound import encode
from providers.voice import ULAW, AudioFormat
from tests.emulators.azure_speech import usp
from tests.emulators.azure_speech.connection import Connection

FORMATS = {
    "raw-8khz-8bit-mono-mulaw": AudioFormat("ulaw"),
    "raw-8khz-8bit-mono-alaw": AudioFormat("alaw"),
    "raw-8khz-16bit-mono-pcm": AudioFormat("pcm16", 8000),
    "raw-16khz-16bit-mono-pcm": AudioFormat("pcm16", 16000),
    "raw-24khz-16bit-mono-pcm": AudioFormat("pcm16", 24000),
}
SSML = "{http://www.w3.org/2001/10/synthesis}"


@dataclass(frozen=True)
class Asked:
    """One text that was to be spoken."""

    text: str
    voice: str
    language: str
    format: str
    ssml: str


class Synthesis(Connection):
    """`asked` is what was to be spoken on this connection, `given` how many bytes of audio were sent for it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[Asked] = []
        self.given = 0
        self._format = ""
        self._speaking: asyncio.Task[None] | None = None

    async def _take(self, message: usp.Message) -> None:
        match message.path:
            case "speech.config":
                message.json()
            case "synthesis.context":
                self._format = message.json()["synthesis"]["audio"]["outputFormat"]
                if self._format not in FORMATS:
                    raise ValueError(f"an output format that this emulator does not speak: {self._format}")
            case "ssml":
                self.asked.append(self._read(message.body.decode()))
                await self._misbehave()
                self._speaking = self._group.create_task(self._speak(message.request, self.asked[-1]))
            case "telemetry":
                message.json()
            case "synthesis.control":
                if self._speaking is not None:
                    self._speaking.cancel()
            case other:
                raise ValueError(f"a message that the service does not know: {other}")

    def _read(self, ssml: str) -> Asked:
        root = ElementTree.fromstring(ssml)
        if root.tag != f"{SSML}speak" or root.get("version") != "1.0":
            raise ValueError(f"not SSML 1.0: {ssml[:200]}")
        [voice] = root.findall(f"{SSML}voice")
        language = root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""
        return Asked("".join(voice.itertext()), voice.get("name") or "", language, self._format, ssml)

    async def _speak(self, request: str, asked: Asked) -> None:
        if self.faults.refuse_text:
            await self.socket.close(code=1007, message=self.faults.refuse_text.encode())
            return
        stream = usp.new_id()
        await self.tell("turn.start", request, context={"serviceTag": usp.new_id()})
        inline = {"type": "inline", "streamId": stream}
        await self.tell("response", request, context={"serviceTag": usp.new_id()}, audio=inline)
        format = FORMATS[asked.format]
        per_ms = format.bytes_per_ms
        sound = b"" if self.faults.empty else _written(await self.service.voice(asked.text), format)
        if self.faults.stop_after_ms is not None:
            sound = sound[: self.faults.stop_after_ms * per_ms]
        step = self.service.chunk_ms * per_ms
        await self._tell_words(request, asked.text, len(sound) // per_ms)
        for start in range(0, len(sound), step):
            piece = sound[start : start + step]
            await self._send(usp.audio(request, stream, piece))
            self.given += len(piece)
            if not self.faults.burst:
                await asyncio.sleep(self.service.chunk_ms / 1000 / self.service.pace)
        if self.faults.stop_after_ms is not None:
            return
        await self._send(usp.audio(request, stream, b""))
        await self.tell("turn.end", request)

    async def _tell_words(self, request: str, text: str, ms: int) -> None:
        """Where the words are in the sound, ahead of it as the service tells them: each as long as its letters."""
        words = text.split()
        each, at = ms / max(1, sum(map(len, words))), 0.0
        for word in words:
            length = {"Offset": round(at) * 10_000, "Duration": round(each * len(word)) * 10_000}
            bounds = {"Text": word, "Length": len(word), "BoundaryType": "WordBoundary"}
            data = {**length, "text": bounds}
            await self.tell("audio.metadata", request, Metadata=[{"Type": "WordBoundary", "Data": data}])
            at += each * len(word)


def _written(ulaw: bytes, format: AudioFormat) -> bytes:
    if format == ULAW:
        return ulaw
    linear = audioop.ulaw2lin(ulaw, 2)
    if format.rate != ULAW.rate:
        linear = audioop.ratecv(linear, 2, 1, ULAW.rate, format.rate, None)[0]
    return encode(linear, format)
