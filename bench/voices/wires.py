"""The frames of each vendor's protocol, as bare as they can be: enough for a session, and audio both ways."""

from __future__ import annotations

import audioop
import json
from binascii import b2a_base64
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.openai_realtime.sound import tone

FRAME_MS = 20
FRAMES = 50  # of a tone: one second, sent again and again
_RESPONSE = {"object": "realtime.response", "id": "resp_1", "status": "in_progress", "output": []}


def _sound(rate: int | None) -> tuple[str, ...]:
    """A second of tone in frames, in base64: µ-law, or linear samples at ``rate`` Hz."""
    audio = tone(FRAMES * FRAME_MS)
    if rate is not None:
        audio = audioop.ratecv(audioop.ulaw2lin(audio, 2), 2, 1, 8000, rate, None)[0]
    size = 160 if rate is None else rate * 2 * FRAME_MS // 1000
    return tuple(
        b2a_base64(audio[at * size : (at + 1) * size].ljust(size, b"\0"), newline=False).decode()
        for at in range(FRAMES)
    )


@dataclass(frozen=True, slots=True)
class Wire:
    """``greets``: what the server says at once, ``settles``: its answer to the first message of the client.

    ``before`` and ``after`` stand around the samples of an audio frame; ``%d`` is its number. ``path``: where the
    samples stand in the parsed frame. ``opens`` is the floor's first message, ``append`` the head of its audio.
    """

    opens: dict[str, Any]
    settles: tuple[dict[str, Any], ...]
    before: str
    after: str
    append: bytes
    append_end: bytes
    path: tuple[str | int, ...] = ("delta",)
    greets: tuple[dict[str, Any], ...] = ()
    binary: bool = False  # the vendor's frames are binary
    rate: int | None = None  # Hz of what it sends, when that is not µ-law
    batch: int = 1  # frames of the caller in one message
    sound: tuple[str, ...] = field(default=())

    def frame(self, number: int) -> bytes:
        """One audio frame of the vendor."""
        head = self.before % number if "%d" in self.before else self.before
        return (head + self.sound[number % FRAMES] + self.after).encode()


def _realtime(audio: str) -> Wire:
    settled = {"type": "session.updated", "event_id": "event_s2", "session": {"id": "sess_1"}}
    begun = {"type": "response.created", "event_id": "event_s3", "response": _RESPONSE}
    return Wire(
        opens={"type": "session.update", "session": {}},
        greets=({"type": "session.created", "event_id": "event_s1", "session": {"id": "sess_1"}},),
        settles=(settled, begun),
        before=f'{{"type":"{audio}","event_id":"event_%d","response_id":"resp_1","item_id":"item_1","output_index":0,'
        '"content_index":0,"delta":"',
        after='"}',
        append=b'{"type":"input_audio_buffer.append","audio":"',
        append_end=b'"}',
        sound=_sound(None),
    )


def wire_of(voice: str) -> Wire:
    """The protocol of a realtime voice."""
    if voice == "gemini":
        return Wire(
            opens={"setup": {}},
            settles=({"setupComplete": {"sessionId": "sess_1"}},),
            before='{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"',
            after='"}}]}}}',
            append=b'{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"',
            append_end=b'"}}}',
            path=("serverContent", "modelTurn", "parts", 0, "inlineData", "data"),
            binary=True, rate=24000, batch=2, sound=_sound(24000),
        )  # fmt: skip
    if voice == "gpt-live":
        return Wire(
            opens={"type": "session.start", "session": {}},
            settles=({"type": "session.started", "event_id": "event_s1", "session": {"id": "sess_1"}},),
            before='{"type":"session.output_audio.delta","delta":"',
            after='"}',
            append=b'{"type":"session.input_audio.append","audio":"',
            append_end=b'"}',
            sound=_sound(None),
        )
    return _realtime("response.audio.delta" if voice == "azure-voice-live" else "response.output_audio.delta")


def written(event: dict[str, Any]) -> str:
    """As it goes over the wire."""
    return json.dumps(event)
