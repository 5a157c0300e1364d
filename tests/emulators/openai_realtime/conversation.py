"""One emulated session: it hears by energy, takes turns, answers by the script and misbehaves as its faults say."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from providers.energy import EnergyDetector
from providers.voice import AudioFormat
from tests.emulators.faults import Frame, Outbox, misbehave
from tests.emulators.openai_realtime import items
from tests.emulators.openai_realtime.model import Empty, Say, Turn
from tests.emulators.openai_realtime.response import Response

if TYPE_CHECKING:
    from tests.emulators.openai_realtime.server import Emulator

FORMATS = {
    "audio/pcmu": AudioFormat("ulaw"), "audio/pcma": AudioFormat("alaw"), "audio/pcm": AudioFormat("pcm16", 24000),
}  # fmt: skip


class Conversation:
    """What a test may look at: `client_events` (all but the audio), `audio` (heard so far), `session`, `responses`."""

    def __init__(self, emulator: Emulator, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.emulator = emulator
        self.faults = emulator.faults
        self.socket = socket
        self.request = request
        self.surface = emulator.surface()
        expires_at = time.time() + self.faults.expires_in
        self.writes_only = request.query.get("intent") == "transcription"  # no model answers
        self.session = (
            items.transcription_session(expires_at) if self.writes_only
            else items.session(request.query.get("model", ""), expires_at)
        )  # fmt: skip
        self.client_events: list[dict[str, Any]] = []
        self.audio = bytearray()
        self.responses: list[Response] = []
        self.spoken_ms: dict[str, int] = {}  # assistant item -> milliseconds of audio
        self.ended = asyncio.Event()
        self._changed = asyncio.Condition()
        self._outbox = Outbox()
        self._mute = False
        self._empty = self.faults.empty_turns
        self._ears = EnergyDetector()
        self._uncommitted_ms = 0
        self._item = ""
        self._ids = count(1)
        self._configured = False
        self._group = asyncio.TaskGroup()

    # ── for tests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def expect(self, kind: str, number: int = 0) -> dict[str, Any]:
        """The client's event of this type (the first, the second, …), waiting for it at most five seconds."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.client_events if event["type"] == kind][number:]

        try:
            async with asyncio.timeout(5), self._changed:
                await self._changed.wait_for(found)
        except TimeoutError:
            had = [event["type"] for event in self.client_events]
            raise AssertionError(f"the client never sent {kind} (number {number}); it sent {had}") from None
        return found()[0]

    async def heard(self, size: int) -> bytes:
        """The caller's audio when at least so many bytes of it have come."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.audio) >= size)
        return bytes(self.audio)

    @property
    def heard_ms(self) -> float:
        """Milliseconds of caller audio that came so far."""
        return len(self.audio) / FORMATS[self.session["audio"]["input"]["format"]["type"]].bytes_per_ms

    def take_back(self) -> None:
        """Cancel the tool calls that are open; the protocol has no word for it."""

    @property
    def active(self) -> Response | None:
        return self.responses[-1] if self.responses and not self.responses[-1].finished else None

    # ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Until the client or a fault ends the session; no task is left."""
        try:
            async with self._group:
                self._group.create_task(self._write())
                await self._read()
                raise _SocketClosedError
        except* (_SocketClosedError, ConnectionError):
            pass

    async def _read(self) -> None:
        if self.faults.no_session:
            await asyncio.Event().wait()
        self.send("session.created", session=self.session)
        async for message in self.socket:
            if message.type is not WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if self.emulator.oracle:
                self.emulator.oracle.client(event)
            if event["type"] != "input_audio_buffer.append":
                self.client_events.append(event)
            await self._handle(self.surface.incoming(event))
            async with self._changed:
                self._changed.notify_all()

    async def _write(self) -> None:
        await self._outbox.deliver(self._transmit, lambda: self.faults, lambda: self._configured)

    async def _transmit(self, frame: Frame) -> None:
        if self._mute:
            return
        with suppress(ConnectionError):
            if isinstance(frame, bytes):
                await self.socket.send_bytes(frame)
            else:
                await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    def send(self, kind: str, **fields: Any) -> None:
        """Send a server event, checked by the oracle."""
        event = {"type": kind, "event_id": self.new_id("event"), **fields}
        for sent in self.surface.outgoing(json.loads(json.dumps(event)), lambda: self.new_id("event")):
            if self.emulator.oracle:
                self.emulator.oracle.server(sent)
            self._outbox.put(sent)

    def send_raw(self, frame: str | bytes) -> None:
        """Send what no vendor would."""
        self._outbox.put(frame)

    def error(self, code: str, message: str, event_id: str | None = None, kind: str = "invalid_request_error") -> None:
        error = {"type": kind, "code": code, "message": message, "param": None, "event_id": event_id}
        self.send("error", error=error)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._ids)}"

    # ── what the client sends ─────────────────────────────────────────────────────────────────────────────────────────

    async def _handle(self, event: dict[str, Any]) -> None:
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "input_audio_buffer.append": self._append,
            "session.update": self._update,
            "response.create": self._create,
            "response.cancel": self._cancel,
            "conversation.item.create": self._item_create,
            "conversation.item.truncate": self._truncate,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }
        handler = handlers.get(event["type"])
        if handler is None:
            self.error("invalid_value", f"Invalid value: '{event['type']}'.", event.get("event_id"))
        else:
            handler(event)
        if self.faults.stop_reading and self._configured:
            self.request.transport.pause_reading()  # type: ignore[union-attr]
            await asyncio.Event().wait()

    def _update(self, event: dict[str, Any]) -> None:
        if self.faults.refuse_session:
            code, message = self.faults.refuse_session
            self.error(code, message, event.get("event_id"))
            return
        if event["session"].get("type", "realtime") != self.session["type"]:
            self.error("invalid_parameter", f"This is a {self.session['type']} session.", event.get("event_id"))
            return
        items.merge(self.session, event["session"])
        if not self._configured:
            hearing = self.session["audio"]["input"]
            turns = hearing.get("turn_detection") or {}
            self._ears = EnergyDetector(
                FORMATS[hearing["format"]["type"]],
                threshold=turns.get("threshold") or 0.5,
                min_silence_ms=turns.get("silence_duration_ms") or 500,
                prefix_ms=turns.get("prefix_padding_ms") or 300,
            )
        self.send("session.updated", session=self.session)
        if not self._configured:
            self._configured = True
            self._group.create_task(self._misbehave())

    def _append(self, event: dict[str, Any]) -> None:
        audio = b64decode(event["audio"], validate=True)
        self.audio += audio
        self._uncommitted_ms += len(audio) // FORMATS[self.session["audio"]["input"]["format"]["type"]].bytes_per_ms
        turns = self.session["audio"]["input"].get("turn_detection")
        if not turns:
            return
        for edge in self._ears.feed(audio):
            if edge.speaking:
                self.speech_started(edge.at_ms)
                if self.active and turns.get("interrupt_response", True):
                    self.active.cancel("turn_detected")
            else:
                self._speech_stopped(edge.at_ms, answer=turns.get("create_response", True))

    def speech_started(self, at_ms: int) -> None:
        self._item = self.new_id("item")
        self.send("input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._item)

    def _speech_stopped(self, at_ms: int, *, answer: bool) -> None:
        self.send("input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=self._item)
        self._commit_item()
        if answer and not (self.writes_only or self.faults.stall or self.active):
            self.respond({})

    def _commit_item(self) -> None:
        item = self._item = self._item or self.new_id("item")
        self.send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        message = items.user_audio(item)
        self.send("conversation.item.added", item=message, previous_item_id=None)
        self.send("conversation.item.done", item=message, previous_item_id=None)
        if self.session["audio"]["input"].get("transcription") and not (self.writes_only and self.faults.stall):
            self._transcribe(item)
        self._uncommitted_ms, self._item = 0, ""

    def _transcribe(self, item: str) -> None:
        prefix = "conversation.item.input_audio_transcription"
        if self.faults.no_transcript:
            error = {"type": "server_error", "code": "server_error", "message": self.faults.no_transcript}
            self.send(f"{prefix}.failed", item_id=item, content_index=0, error=error)
            return
        text = self.emulator.heard.pop(0) if self.emulator.heard else f"[{self._uncommitted_ms} ms of sound]"
        for word in text.split(" "):
            self.send(f"{prefix}.delta", item_id=item, content_index=0, delta=word + " ")
        usage = {"type": "duration", "seconds": self._uncommitted_ms / 1000}
        self.send(f"{prefix}.completed", item_id=item, content_index=0, transcript=text, usage=usage)

    def _commit(self, event: dict[str, Any]) -> None:
        if not self._uncommitted_ms:
            self.error("input_audio_buffer_commit_empty", "buffer too small: 0.00ms of audio", event.get("event_id"))
        else:
            self._commit_item()

    def _clear(self, _: dict[str, Any]) -> None:
        self._uncommitted_ms = 0
        self.send("input_audio_buffer.cleared")

    def _item_create(self, event: dict[str, Any]) -> None:
        item = {"id": self.new_id("item"), "object": "realtime.item", "status": "completed", **event["item"]}
        self.send("conversation.item.added", item=item, previous_item_id=None)
        self.send("conversation.item.done", item=item, previous_item_id=None)

    def _truncate(self, event: dict[str, Any]) -> None:
        item, end = event["item_id"], event["audio_end_ms"]
        spoken = self.spoken_ms.get(item)
        if spoken is None:
            self.error("item_not_found", f"Item with item_id '{item}' not found.", event.get("event_id"))
        elif end > spoken:
            text = f"Audio content of {spoken}ms is already shorter than {end}ms"
            self.error("invalid_value", text, event.get("event_id"))
        else:
            self.send("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=end)

    def _create(self, event: dict[str, Any]) -> None:
        if self.writes_only:
            self.error("invalid_value", "A transcription session gives no responses.", event.get("event_id"))
        elif self.active:
            text = f"Conversation already has an active response in progress: {self.active.id}."
            self.error("conversation_already_has_active_response", text, event.get("event_id"))
        elif not self.faults.stall:
            self.respond(event.get("response") or {})

    def _cancel(self, event: dict[str, Any]) -> None:
        if self.active:
            self.active.cancel("client_cancelled")
        else:
            text = "Cancellation failed: no active response found"
            self.error("response_cancel_not_active", text, event.get("event_id"))

    def respond(self, asked: dict[str, Any]) -> None:
        """Begin a response: the words that the client asked for, or the next entry of the script."""
        words = (asked.get("instructions") or "").partition("\n\n")[2]
        response = Response(self, self.next_turn(words))
        self.responses.append(response)
        response.begin(self._group)

    def next_turn(self, words: str = "") -> Turn:
        """What the model does now: says what it was asked to say, or goes on with the script."""
        if self._empty:
            self._empty -= 1
            return Empty()
        if words:
            return Say(words)
        return self.emulator.script.pop(0) if self.emulator.script else Say("What else can I do for you?")

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _misbehave(self) -> None:
        faults = self.faults
        for frame in faults.garbage:
            self.send_raw(frame)
        if faults.error:
            self.error(
                *faults.error, kind="server_error" if faults.error[0] == "server_error" else "invalid_request_error"
            )
        await misbehave(
            faults, drop=self.drop, close=self.shut, mute=self.fall_silent, phantom=self.phantom, go_away=self.go_away
        )

    async def phantom(self) -> None:
        self.speech_started(self._ears.heard_ms)

    async def drop(self) -> None:
        """Cut the connection."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def fall_silent(self) -> None:
        self._mute = True

    async def go_away(self) -> None:
        """The protocol has no word for it."""

    async def shut(self) -> None:
        """Close the connection in an orderly way."""
        await self.socket.close(code=self.faults.close_code, message=self.faults.close_reason.encode())


class _SocketClosedError(Exception):
    """The socket is closed."""
