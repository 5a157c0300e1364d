"""The answers that we ask a realtime provider for: one at a time, the others wait.

The provider starts responses by itself, too, after the caller's turns, so ours may be refused because it came too late.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from providers.realtime_fields import Frame

RESPOND: Final[Frame] = {"type": "response.create"}  # an answer of the model's own

_Request = tuple[str, Frame]  # event id, and the event that a response begins after


class Requests:
    """Those of one session."""

    def __init__(self) -> None:
        self._waiting: deque[Frame] = deque()
        self._asked: _Request | None = None  # not yet begun
        self._begun: _Request | None = None  # the last after which a response began, perhaps another's

    @property
    def pending(self) -> bool:
        """One was asked for, and no response has begun since."""
        return self._asked is not None

    def add(self, frame: Frame) -> None:
        """One more, when its turn comes."""
        self._waiting.append(frame)

    def drop_words(self) -> None:
        """What was to be said is not said any more; the model's own answers still wait."""
        self._waiting = deque(frame for frame in self._waiting if frame is RESPOND)

    def next(self) -> Frame | None:
        """The one whose turn it is; tell `asked` when it was sent."""
        return self._waiting.popleft() if self._waiting and self._asked is None else None

    def asked(self, event_id: str, frame: Frame) -> None:
        """It was sent."""
        self._asked = (event_id, frame)

    def begins(self) -> None:
        """A response begins."""
        self._begun, self._asked = self._asked, None

    def give_up(self) -> None:
        """No response began; the next may be asked for."""
        self._asked = None

    def refused(self, event_id: str | None, *, again: bool) -> bool | None:
        """An error is about this event: None if it is none of ours, else whether the next may be asked for at once.

        ``again`` puts it back at the head of the queue. If a response began in between and has ended already, we ask at
        once; else the end of the one that is active asks. A vendor that does not name the event means our last one.
        """
        last = self._asked or self._begun
        if event_id is None and again and last is not None:
            event_id = last[0]
        for request in (self._asked, self._begun):
            if request is None or request[0] != event_id:
                continue
            unheard_of = request is self._asked
            self._asked = self._begun = None
            if again:
                self._waiting.appendleft(request[1])
            return not (again and unheard_of)
        return None
