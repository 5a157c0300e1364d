"""chan_websocket's queue as measured on Asterisk 22.10.1, on the test's own clock. It proves arithmetic, not telephony.

Frames leave on a fixed 20 ms grid; a mark is answered on the tick that sends the frame behind it; a flush empties the
queue and its marks but keeps a pause; 1000 frames fit; commands over 128 bytes are dropped.
"""

from __future__ import annotations

import json
from collections import deque

TICK = 0.02


class SimulatedQueue:
    def __init__(self, frame: int = 160, phase: float = 0.0) -> None:
        self.frame = frame
        self.queue: deque[bytes | str] = deque()  # a frame, or the id of a mark
        self.played: list[tuple[float, bytes | None]] = []  # what each tick sent
        self.answers: deque[str] = deque()
        self.paused = False
        self.longest = 0  # frames that ever lay in the queue
        self.dropped: list[object] = []
        self.flushes = 0
        self._next = phase

    @property
    def frames(self) -> int:
        return sum(1 for item in self.queue if isinstance(item, bytes))

    def write(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            whole = len(message) // self.frame * self.frame
            if whole != len(message) or len(message) > 65_500:
                self.dropped.append(message)
            self.queue += (message[at : at + self.frame] for at in range(0, whole, self.frame))
            self.longest = max(self.longest, self.frames)
        elif len(message.encode()) > 128:
            self.dropped.append(message)
        else:
            self._command(json.loads(message))

    def run_to(self, now: float) -> None:
        """Play every tick up to ``now``; answers gather."""
        while self._next <= now:
            self._tick(self._next)
            self._next += TICK

    def _tick(self, at: float) -> None:
        if self.paused:
            self.played.append((at, None))
            return
        while self.queue and isinstance(self.queue[0], str):
            self._say("MEDIA_MARK_PROCESSED", correlation_id=self.queue.popleft())
        item = self.queue.popleft() if self.queue else None
        assert not isinstance(item, str)
        self.played.append((at, item))

    def _command(self, message: dict[str, str]) -> None:
        match message["command"]:
            case "MARK_MEDIA":
                self.queue.append(message["correlation_id"])
            case "FLUSH_MEDIA":
                self.queue.clear()
                self.flushes += 1
            case "PAUSE_MEDIA":
                self.paused = True
            case "CONTINUE_MEDIA":
                self.paused = False
            case "GET_STATUS":
                self._say("STATUS", queue_length=self.frames, media_paused=self.paused)
            case other:
                self.dropped.append(other)

    def _say(self, event: str, **fields: object) -> None:
        self.answers.append(json.dumps({"event": event, "channel_id": "simulated", **fields}))
