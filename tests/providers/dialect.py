"""A provider that is played by hand: it feeds the dialect frames and collects what comes of them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from providers.realtime import Realtime
from providers.realtime_dialects import OPENAI, Dialect
from providers.voice import Ready, Session, VoiceEvent


class Provider:
    """Feeds the dialect what a provider would send."""

    def __init__(self, **fields: Any) -> None:
        dialect: Dialect = fields.pop("dialect", OPENAI)
        counts = fields.get("model") or ""
        configuration = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-transcribe"}}}}
        self.realtime = Realtime(Session(**fields), configuration, secret="sk-secret", dialect=dialect, model=counts)
        self._number = 0
        self.send("session.created", session={"id": "sess_1", "expires_at": 1795000000})
        assert self.send("session.updated", session={"id": "sess_1"}) == [Ready("sess_1")]
        self.realtime.out.clear()

    def send(self, kind: str, **fields: Any) -> list[VoiceEvent]:
        self._number += 1
        return self.raw(json.dumps({"type": kind, "event_id": f"e{self._number}", **fields}, separators=(",", ":")))

    def raw(self, frame: str) -> list[VoiceEvent]:
        return list(self.realtime.receive(frame))

    def created(self, id: str = "resp_1") -> list[VoiceEvent]:
        return self.send("response.created", response={"id": id, "status": "in_progress"})

    def audio(self, data: bytes, response: str = "resp_1", item: str = "item_1") -> list[VoiceEvent]:
        return self.send(
            "response.output_audio.delta", response_id=response, item_id=item, output_index=0, content_index=0,
            delta=b64encode(data).decode(),
        )  # fmt: skip

    def done(
        self, id: str = "resp_1", status: str = "completed", output: Sequence[dict[str, Any]] = (), **details: Any
    ) -> list[VoiceEvent]:
        return self.send(
            "response.done", response={"id": id, "status": status, "status_details": details or None, "output": output}
        )

    def error(self, code: str, message: str = "no", event_id: str | None = None, kind: str = "x") -> list[VoiceEvent]:
        return self.send("error", error={"type": kind, "code": code, "message": message, "event_id": event_id})

    def sent(self) -> list[dict[str, Any]]:
        frames = [json.loads(frame) for frame in self.realtime.out]
        self.realtime.out.clear()
        return frames


def call(id: str = "call_1", name: str = "lookup", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
