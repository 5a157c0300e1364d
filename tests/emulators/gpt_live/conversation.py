"""One emulated Live session: sound without end in frames of 100 ms, zeros when nobody speaks; it yields by itself."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections import deque
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType

from providers.energy import EnergyDetector
from providers.voice import AudioFormat
from tests.emulators.openai_realtime.conversation import Conversation
from tests.emulators.openai_realtime.model import Call, Empty, Fail, Say, Turn
from tests.emulators.openai_realtime.sound import from_ulaw

FORMATS = {"audio/pcmu": "ulaw", "audio/pcma": "alaw", "audio/pcm": "pcm16"}
SILENCE = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5", "audio/pcm": b"\x00\x00"}
BACKEND_MODEL_USAGE = {
    "input_tokens": 40, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 8, "total_tokens": 48,
}  # fmt: skip


@dataclass
class Speech:
    """What is being said: its sound that is left, its words that are left, and bytes for each of them."""

    sound: bytes
    words: list[str]
    a_word: int


class LiveConversation(Conversation):
    """`settled` is the session as it was started; `delegations` counts what was handed on."""

    settled: dict[str, Any]

    @property
    def heard_ms(self) -> float:
        return len(self.audio) / self._format.bytes_per_ms if self.settled else 0.0

    async def _read(self) -> None:
        self.settled = {}
        self.delegations = 0
        self.stopped = 0  # how often it gave way to the caller
        self._saying: deque[Speech] = deque()
        self._rest: list[str] = []
        self._muted = False
        self._ms = 0  # of the session
        self._calls: dict[str, list[dict[str, Any]]] = {}  # delegation -> calls without a result
        if self.faults.no_session:
            await asyncio.Event().wait()
        async for message in self.socket:
            if message.type is not WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if self.emulator.oracle:
                self.emulator.oracle.client(event)
            if event["type"] != "session.input_audio.append":
                self.client_events.append(event)
            await self._take(event)
            async with self._changed:
                self._changed.notify_all()

    async def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        match kind:
            case "session.start":
                self._start(event["session"])
            case "session.input_audio.append":
                self._hear(b64decode(event["audio"], validate=True))
            case "session.input_audio.mute" | "session.input_audio.unmute":
                self._muted = kind.endswith(".mute")
                self.send(f"{kind}d")
            case "session.commentary.append" | "session.instructions.append" | "session.thinking.append":
                self.send(f"{kind}ed", start_ms=self._ms, end_ms=self._ms)
                if kind == "session.commentary.append":
                    if not self._saying:  # it thinks for a moment
                        moment = self._silence * (300 * self._format.bytes_per_ms // len(self._silence))
                        self._saying.append(Speech(moment, [], 1))
                    await self._speak(event["content"])
                elif "answer what the caller said last" in event["content"]:
                    await self._give(None)
            case "session.update":
                delegation = event["session"].get("delegation") or {}
                for key, value in (delegation.get("responses") or {}).items():
                    self.settled["delegation"]["responses"][key] = value
                self.send("session.updated", session=self._resource())
            case "response.item.create":
                self._result(event["item"])
            case "response.create":
                await self._give(None)
            case "session.close":
                self.end("close_requested")
        if self.faults.stop_reading and self.settled:
            self.request.transport.pause_reading()  # type: ignore[union-attr]
            await asyncio.Event().wait()

    # ── beginning and end ─────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, config: dict[str, Any]) -> None:
        if self.faults.refuse_session:
            code, message = self.faults.refuse_session
            self.fail(code, message)
            return
        self.settled = config
        format = config["audio"]["format"]
        self._format = AudioFormat(FORMATS[format["type"]], format["rate"])  # type: ignore[arg-type]
        self._silence = SILENCE[format["type"]]
        self._ears = EnergyDetector(self._format)
        self.send("session.started", session=self._resource())
        self._configured = True
        self._group.create_task(self._stream())
        self._group.create_task(self._misbehave())

    def _resource(self) -> dict[str, Any]:
        expires = int(time.time() + self.faults.expires_in)
        return {**self.settled, "id": "live_1", "expires_at": expires, "status": "active"}

    def end(self, reason: str) -> None:
        """The end of the session, with its final count; the socket is closed after it."""
        self.send("session.closed", reason=reason, session=self._resource(), usage={"seconds": self._ms / 1000})

    async def _transmit(self, frame: dict[str, Any] | str | bytes) -> None:
        await super()._transmit(frame)
        if isinstance(frame, dict) and frame["type"] == "session.closed":
            await self.socket.close()

    def send(self, kind: str, **fields: Any) -> None:
        if kind == "session.output_audio.delta":  # the only one without an id
            event = {"type": kind, **fields}
            if self.emulator.oracle:
                self.emulator.oracle.server(event)
            self._outbox.put(event)
        else:
            super().send(kind, **fields)

    def fail(self, code: str, message: str, kind: str = "invalid_request_error") -> None:
        self.send("error", error={"type": kind, "code": code, "message": message, "param": None})

    def error(self, code: str, message: str, event_id: str | None = None, kind: str = "invalid_request_error") -> None:
        self.fail(code, message, kind)

    # ── its voice ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _stream(self) -> None:
        """Frames of 100 ms for as long as the session lives. With `stall` they hold silence and nothing else."""
        step = self.emulator.chunk_ms
        size = step * self._format.bytes_per_ms
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            sound = b""
            while self._saying and len(sound) < size:
                sound += self._next(self._saying[0], size - len(sound))
            padding = self._silence * ((size - len(sound)) // len(self._silence))
            self.send("session.output_audio.delta", delta=b64encode(sound + padding).decode())
            self._ms += step
            if self._ms % 1000 == 0:
                self.send("session.usage.updated", usage={"seconds": self._ms / 1000})
            if self.faults.burst and self._saying:
                await asyncio.sleep(0)
                continue
            due += step / 1000 / self.emulator.pace
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _next(self, speech: Speech, size: int) -> bytes:
        piece, speech.sound = speech.sound[:size], speech.sound[size:]
        due = len(speech.words) - len(speech.sound) // speech.a_word
        for word in speech.words[: max(due, 0)] if speech.sound else speech.words:
            self.send("session.output_transcript.delta", delta=f"{word} ", start_ms=self._ms, end_ms=self._ms + 100)
        speech.words = speech.words[max(due, 0) :] if speech.sound else []
        if not speech.sound:
            self._saying.popleft()
        return piece

    async def _speak(self, words: str) -> None:
        if self.faults.stall:
            return
        ulaw = await self.emulator.voice(words)
        wide = from_ulaw(ulaw, self.settled["audio"]["format"]["type"], self._format.rate)
        told = words.split(" ")
        if any(speech.words for speech in self._saying):  # a breath between two thoughts
            self._saying.append(Speech(self._silence * (800 * self._format.bytes_per_ms // len(self._silence)), [], 1))
        self._saying.append(Speech(wide, told, max(1, len(wide) // len(told))))

    # ── its ears ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _hear(self, audio: bytes) -> None:
        self.audio += audio
        if self._muted:
            return
        for edge in self._ears.feed(audio):
            if edge.speaking:
                self.give_way()
                said = self.emulator.heard.pop(0) if self.emulator.heard else "[sound]"
                self._rest = said.split(" ")
                self.told(self._rest.pop(0))  # while the caller still speaks
            else:
                for word in self._rest:
                    self.told(word)
                self._group.create_task(self._give(None))

    def told(self, word: str) -> None:
        """The transcript of what the caller said grows by a word."""
        self.send("session.input_transcript.delta", delta=f"{word} ", start_ms=self._ms, end_ms=self._ms + 100)

    def give_way(self) -> None:
        """The caller speaks: it stops in the middle of a word. A backchannel it would hear and go on."""
        if self._saying:
            self.stopped += 1
            self._saying.clear()

    # ── its thoughts ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _give(self, turn: Turn | None) -> None:
        """What it does next: the next entry of the script."""
        if self.faults.stall:
            return
        script = self.emulator.script
        match turn or (script.pop(0) if script else Say("What else can I do for you?")):
            case Say(words):
                await self._speak(words)
            case Call() as call:
                if call.say:
                    await self._speak(call.say)
                self.hand_on(call)
            case Fail() as failure:
                self._fail_at_work(failure)
            case Empty():
                pass

    def hand_on(self, call: Call | None = None) -> str:
        """Delegate: to the client without a word of what is to be done, or to the vendor's model, which calls tools."""
        self.delegations += 1
        id, target = self.new_id("deleg"), self.settled["delegation"]["type"]
        backend = {"response_id": self.new_id("resp")} if target == "responses" else {}
        delegation = {"id": id, "type": "delegation", "target": target, **backend}
        self.send("session.delegation.created", delegation=delegation, offset_ms=self._ms)
        if target == "responses" and call is not None:
            self._work(id, backend["response_id"], call)
        return id

    def _work(self, delegation: str, response: str, call: Call) -> None:
        def tell(type: str, **fields: Any) -> None:
            event = {"type": type, "sequence_number": 1, **fields}
            self.send("response.event", delegation_id=delegation, event=event)

        tell("response.created", response={"id": response, "status": "in_progress", "output": []})
        for index, each in enumerate((call, *call.more)):
            arguments = each.arguments if isinstance(each.arguments, str) else json.dumps(each.arguments)
            item = {
                "type": "function_call", "id": self.new_id("fc"), "call_id": self.new_id("call"), "name": each.tool,
                "arguments": arguments, "status": "completed",
            }  # fmt: skip
            self._calls.setdefault(delegation, []).append(item)
            tell("response.output_item.done", output_index=index, item=item)
        done = {"id": response, "status": "completed", "output": [], "usage": BACKEND_MODEL_USAGE}
        tell("response.completed", response=done)

    def _fail_at_work(self, failure: Fail) -> None:
        """Only the vendor's text model has a word for an answer that fails."""
        if self.settled["delegation"]["type"] != "responses":
            self.fail(failure.code, failure.message, "server_error")
            return
        error = {"code": failure.code, "message": failure.message}
        response = {"id": self.new_id("resp"), "status": "failed", "output": [], "error": error}
        event = {"type": "response.failed", "sequence_number": 1, "response": response}
        self.send("response.event", delegation_id=self.hand_on(), event=event)

    def _result(self, item: dict[str, Any]) -> None:
        for calls in self._calls.values():
            calls[:] = [call for call in calls if call["call_id"] != item["call_id"]]

    async def phantom(self) -> None:
        self.told("What?")
