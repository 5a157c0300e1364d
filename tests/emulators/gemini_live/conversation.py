"""One emulated Gemini session: turns without ids, 16 kHz in and 24 kHz out, handles to go on with elsewhere."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Any

from providers.energy import EnergyDetector
from providers.voice import AudioFormat
from tests.emulators.openai_realtime.conversation import Conversation
from tests.emulators.openai_realtime.model import Call, Empty, Fail, Say, Turn
from tests.emulators.openai_realtime.sound import from_ulaw

WIDE = AudioFormat("pcm16", 16000)


class GeminiConversation(Conversation):
    """`client_events` hold the client's messages with the name of their only key as `type`."""

    setup: dict[str, Any] | None = None
    _turn: asyncio.Task[None] | None = None
    _pending: set[str]

    @property
    def heard_ms(self) -> float:
        return len(self.audio) / WIDE.bytes_per_ms

    def take_back(self) -> None:
        self.tell(toolCallCancellation={"ids": sorted(self._pending)})
        self._pending.clear()

    async def _read(self) -> None:
        self._pending = set()
        self._ears = EnergyDetector(WIDE)
        if self.faults.no_session:
            await asyncio.Event().wait()
        async for message in self.socket:
            event = json.loads(message.data)
            if self.emulator.oracle:
                self.emulator.oracle.client(event)
            [(kind, content)] = event.items()
            if kind != "realtimeInput" or "audio" not in content:
                self.client_events.append({"type": kind, **content})
            await self._take(kind, content)
            async with self._changed:
                self._changed.notify_all()

    def tell(self, **message: Any) -> None:
        """Send a server message, checked by the oracle; as the vendor does, in a binary frame."""
        if self.emulator.oracle:
            self.emulator.oracle.server(message)
        self._outbox.put(json.dumps(message).encode())

    async def _take(self, kind: str, content: dict[str, Any]) -> None:
        match kind:
            case "setup":
                if self.faults.refuse_session:
                    await self.socket.close(code=1007, message=self.faults.refuse_session[1].encode())
                    return
                self.setup = content
                self.tell(setupComplete={"sessionId": "sess_1"})
                self._configured = True
                self._group.create_task(self._misbehave())
            case "realtimeInput" if "audio" in content:
                self._hear(content["audio"])
            case "realtimeInput":
                words = content["text"].partition("\n\n")[2]
                self.answer(words)
            case "clientContent" if not content.get("turnComplete"):
                self._stop()
            case "toolResponse":
                self._pending -= {each["id"] for each in content["functionResponses"]}
                silent = any(each.get("scheduling") == "SILENT" for each in content["functionResponses"])
                if not self._pending and not silent:
                    self.answer()
        if self.faults.stop_reading and self._configured:
            self.request.transport.pause_reading()  # type: ignore[union-attr]
            await asyncio.Event().wait()

    def _hear(self, audio: dict[str, Any]) -> None:
        assert audio["mimeType"] == "audio/pcm;rate=16000"
        pcm = b64decode(audio["data"], validate=True)
        self.audio += pcm
        for edge in self._ears.feed(pcm):
            if edge.speaking:
                self._stop()
            else:
                said = self.emulator.heard.pop(0) if self.emulator.heard else "[sound]"
                for word in said.split(" "):
                    self.tell(serverContent={"inputTranscription": {"text": f"{word} "}})
                self.answer()

    def _stop(self) -> None:
        """The caller speaks, or the client wants no more: the turn ends without having been generated whole."""
        if self._turn is not None and not self._turn.done():
            self._turn.cancel()
            self.tell(serverContent={"interrupted": True})
            self._complete()
            for _ in range(self.faults.late_deltas):
                self._sound(bytes(4800))

    def answer(self, words: str = "") -> None:
        """Give a turn: the words asked for, or the next entry of the script."""
        if self.faults.stall:
            return
        self._stop()
        self._turn = self._group.create_task(self._give(self.next_turn(words)))

    async def _give(self, turn: Turn) -> None:
        with suppress(asyncio.CancelledError):
            match turn:
                case Say(words):
                    await self._speak(words)
                case Call():
                    if turn.say:
                        await self._speak(turn.say)
                    calls: list[dict[str, Any]] = [
                        {"id": self.new_id("call"), "name": each.tool, "args": each.arguments}
                        for each in (turn, *turn.more)
                    ]
                    self._pending = {call["id"] for call in calls}
                    self.tell(toolCall={"functionCalls": calls})
                    return
                case Fail():
                    await self.socket.close(code=1011, message=turn.message.encode())
                    return
                case Empty():
                    pass
            self.tell(serverContent={"generationComplete": True})
            self._complete()

    async def _speak(self, words: str) -> None:
        pcm = from_ulaw(await self.emulator.voice(words), "audio/pcm")
        step = self.emulator.chunk_ms * 48
        told = words.split(" ")
        for start in range(0, len(pcm), step):
            self._sound(pcm[start : start + step])
            if told:
                self.tell(serverContent={"outputTranscription": {"text": told.pop(0) + " "}})
            if not self.faults.burst:
                await asyncio.sleep(self.emulator.chunk_ms / 1000 / self.emulator.pace)
        if told:
            self.tell(serverContent={"outputTranscription": {"text": " ".join(told)}})

    def _sound(self, pcm: bytes) -> None:
        data = {"mimeType": "audio/pcm;rate=24000", "data": b64encode(pcm).decode()}
        self.tell(serverContent={"modelTurn": {"parts": [{"inlineData": data}]}})

    def _complete(self) -> None:
        details = {
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}, {"modality": "TEXT", "tokenCount": 5}]
        }
        spoken = {"responseTokenCount": 20, "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}]}
        self.tell(
            serverContent={"turnComplete": True},
            usageMetadata={"promptTokenCount": 40, "totalTokenCount": 60, **details, **spoken},
        )
        self.tell(sessionResumptionUpdate={"newHandle": self.new_id("handle"), "resumable": True})

    async def go_away(self) -> None:
        """The connection is to be given up."""
        self.tell(goAway={"timeLeft": "50s"})

    async def phantom(self) -> None:
        self.tell(serverContent={"interrupted": True})
