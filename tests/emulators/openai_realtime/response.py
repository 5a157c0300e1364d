"""One response of the emulated model: its events in the vendor's order, its audio at the chosen pace, its end."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from tests.emulators.openai_realtime import items
from tests.emulators.openai_realtime.model import Call, Empty, Fail, Say, Turn
from tests.emulators.openai_realtime.sound import from_ulaw

if TYPE_CHECKING:
    from tests.emulators.openai_realtime.conversation import Conversation


class Response:
    def __init__(self, conversation: Conversation, turn: Turn) -> None:
        self.conversation = conversation
        self.turn = turn
        self.id = conversation.new_id("resp")
        self.finished = False
        self._output: list[dict[str, Any]] = []
        self._item: str | None = None  # the message that is being spoken
        self._said = ""
        self._spoken_ms = 0
        self._index = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self, group: asyncio.TaskGroup) -> None:
        self._send("response.created", response=self._resource("in_progress", None, None))
        self._task = group.create_task(self._give())

    def cancel(self, reason: str) -> None:
        """End it now: `turn_detected` or `client_cancelled`."""
        if self._task is not None:
            self._task.cancel()
        item = self._item
        if item is not None:
            self._end_message("incomplete")
        self._finish("cancelled", {"type": "cancelled", "reason": reason})
        for _ in range(self.conversation.faults.late_deltas if item else 0):
            self._audio(item or "", b"\x00" * 800)

    async def _give(self) -> None:
        match self.turn:
            case Say(text):
                await self._speak(text)
                self._finish("completed")
            case Call():
                if self.turn.say:
                    await self._speak(self.turn.say)
                for call in (self.turn, *self.turn.more):
                    self._call(call)
                self._finish("completed")
            case Empty():
                self._finish("completed")
            case Fail(code, message, "failed"):
                error = {"type": "server_error", "code": code, "message": message}
                self._finish("failed", {"type": "failed", "error": error})
            case Fail(code, _, status):
                self._finish(status, {"type": status, "reason": code})

    async def _speak(self, text: str) -> None:
        conversation, emulator = self.conversation, self.conversation.emulator
        format = conversation.session["audio"]["output"]["format"]["type"]
        ulaw = await emulator.voice(text)
        self._item = item = conversation.new_id("item")
        message = items.assistant(item, "in_progress", None)
        self._send("response.output_item.added", output_index=self._index, item=message)
        conversation.send("conversation.item.added", item=message, previous_item_id=None)
        part = {"type": "audio", "transcript": ""}
        self._send("response.content_part.added", item_id=item, output_index=self._index, content_index=0, part=part)
        words = [word + " " for word in text.split(" ")]
        step = emulator.chunk_ms * 8
        for start in range(0, len(ulaw), step):
            if words:
                word = words.pop(0)
                self._said += word
                self._transcript_delta(item, word)
            chunk = ulaw[start : start + step]
            self._spoken_ms += len(chunk) // 8
            conversation.spoken_ms[item] = self._spoken_ms
            self._audio(item, from_ulaw(chunk, format))
            if not conversation.faults.burst:
                await asyncio.sleep(len(chunk) / 8000 / emulator.pace)
        if words:
            self._transcript_delta(item, "".join(words))
        self._said = text
        self._end_message("completed")

    def _audio(self, item: str, data: bytes) -> None:
        delta = b64encode(data).decode()
        self._send("response.output_audio.delta", item_id=item, output_index=self._index, content_index=0, delta=delta)

    def _transcript_delta(self, item: str, delta: str) -> None:
        self._send(
            "response.output_audio_transcript.delta",
            item_id=item,
            output_index=self._index,
            content_index=0,
            delta=delta,
        )

    def _end_message(self, status: str) -> None:
        item, text = self._item or "", self._said.strip()
        where = {"item_id": item, "output_index": self._index, "content_index": 0}
        self._send("response.output_audio.done", **where)
        self._send("response.output_audio_transcript.done", **where, transcript=text)
        self._send("response.content_part.done", **where, part={"type": "audio", "transcript": text})
        self._end_item(items.assistant(item, status, text))
        self._item = None

    def _call(self, call: Call) -> None:
        item, call_id = self.conversation.new_id("item"), self.conversation.new_id("call")
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        begun = items.function_call(item, call_id, call.tool, "", "in_progress")
        self._send("response.output_item.added", output_index=self._index, item=begun)
        self.conversation.send("conversation.item.added", item=begun, previous_item_id=None)
        where = {"item_id": item, "output_index": self._index, "call_id": call_id}
        self._send("response.function_call_arguments.delta", **where, delta=arguments)
        self._send("response.function_call_arguments.done", **where, name=call.tool, arguments=arguments)
        self._end_item(items.function_call(item, call_id, call.tool, arguments, "completed"))

    def _end_item(self, item: dict[str, Any]) -> None:
        self._send("response.output_item.done", output_index=self._index, item=item)
        self.conversation.send("conversation.item.done", item=item, previous_item_id=None)
        self._output.append(item)
        self._index += 1

    def _finish(self, status: str, details: dict[str, Any] | None = None) -> None:
        self.finished = True
        usage = items.usage(len(self.conversation.audio) // 800, self._spoken_ms // 50)
        self.conversation.send("response.done", response=self._resource(status, details, usage))
        remaining = 0 if self.conversation.faults.rate_limit else 900
        limits = [{"name": "requests", "limit": 1000, "remaining": remaining, "reset_seconds": 60.0}]
        self.conversation.send("rate_limits.updated", rate_limits=limits)

    def _resource(self, status: str, details: dict[str, Any] | None, usage: dict[str, Any] | None) -> dict[str, Any]:
        return items.response(self.id, self.conversation.session, status, details, self._output, usage)

    def _send(self, kind: str, **fields: Any) -> None:
        named = {} if kind == "response.created" else {"response_id": self.id}
        self.conversation.send(kind, **named, **fields)
