"""Writing ahead of Asterisk's 20 ms clock: what to write to chan_websocket, and when.

Sans-IO: audio, marks, answers and the time come in; messages to write gather in ``outbox``. Asterisk plays its queue at
exactly one frame per 20 ms, so three things are enough to know what the caller heard: the bytes written, the marks that
come back (one at least every second of audio), and between them the clock.

* At most 2 s lie in Asterisk. The rest waits here and follows when marks come back.
* When nothing is left to play, silence follows, so that the caller's RTP never stops: first a short piece, then pieces
  of a second. Audio that comes meanwhile flushes them: Asterisk reads messages in order and plays from its queue on a
  fixed 20 ms grid, so the first frame goes out on the next tick, whole (measured).
* Audio that comes at the pace of speech, in small pieces, runs the queue to almost nothing between two pieces. Silence
  waits `PATIENCE_MS` then, so that a late piece costs its lateness and no more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from asterisk.media.control import MarkProcessed, Status, command
from asterisk.media.leg import BYTES_PER_MS, Drained, Format, MarkReached
from asterisk.media.playout import SILENCE, Backlog

AHEAD_MS = 2000  # written and not known to be played, at most
MARK_EVERY_MS = 1000
PIECE_MS = 500  # the longest message of audio; below 65,500 bytes in every format
SILENCE_MS = 1000  # a piece of silence when the line is idle
BRIDGING_MS = 40  # the first piece, behind audio that may still go on
LEAD_MS = 30  # how long before the queue is empty silence follows
IDLE_LEAD_MS = 200  # the same between two pieces of silence: an engine that stalls this long is not heard
PATIENCE_MS = 100  # how long after it ran empty, when audio came piece by piece
PIECEMEAL_MS = 200  # less than this in the queue after a write: the audio comes piece by piece
DEAF_S = 8.0  # a mark that does not come back for this long: Asterisk is gone


@dataclass(frozen=True, slots=True)
class _Mark:
    number: int
    position: int
    name: str | None  # None: our own
    ends: bool  # nothing real was behind it when it was written
    at: float


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush threw away: of what had been written, the last ``queued`` bytes but for our own silence."""

    asked: bool  # a `Status` follows, to be given to `exact_ms`
    dropped: int  # bytes that had not been written yet
    queued: int  # bytes that had been written and not played, by our own count; right within a frame
    written: int  # the position behind the last byte written
    silences: tuple[tuple[int, int], ...]  # from and to: silence of ours, before, between or behind real audio
    per_ms: int
    frame: int

    @property
    def estimated_ms(self) -> int:
        """Milliseconds of real audio, by our own count."""
        return self._real_ms(self.queued)

    def exact_ms(self, status: Status) -> int:
        """The same by Asterisk's count of its queue, taken just before it was emptied."""
        return self._real_ms(status.queue_length * self.frame)

    def _real_ms(self, queued: int) -> int:
        start = self.written - queued
        silence = sum(max(0, end - max(begin, start)) for begin, end in self.silences)
        return (self.dropped + max(0, queued - silence)) // self.per_ms


class WriteAhead:
    """The accounting of one chan_websocket connection. Times are seconds of any steady clock, positions bytes."""

    def __init__(self, audio_format: Format, frame: int, now: float) -> None:
        self.outbox: deque[bytes | str] = deque()
        self.room = 0  # bytes that may be written at once, without asking here first
        self.frame = frame
        self._rate = BYTES_PER_MS[audio_format] * 1000  # bytes per second
        self._per_ms = BYTES_PER_MS[audio_format]
        self._filler = SILENCE[audio_format] * self._whole(SILENCE_MS)
        self._backlog = Backlog(audio_format, frame)
        self._marks: deque[_Mark] = deque()
        self._silences: deque[tuple[int, int]] = deque()  # from and to: silence of ours that is perhaps not played yet
        self._number = 0
        self._written = 0
        self._confirmed = 0  # played for sure: the position of the last mark that came back
        self._marked = 0  # the position of the last mark written
        self._real_end = 0  # behind the last byte that is not silence of ours
        self._unannounced = False  # real audio was written and its end is not marked yet
        self._silent = False  # a long piece of silence lies in the queue, and nothing else
        self._held = False  # XOFF
        self._dry_at = now  # when Asterisk's queue will be empty
        self._last_write = float("-inf")  # of real audio

    def direct(self, size: int, now: float) -> None:
        """Account for ``size`` bytes (whole frames, not more than ``room``) that are written without passing here."""
        self.room -= size
        self._written += size
        self._real_end = self._written
        self._unannounced = True
        self._last_write = now
        dry_at = self._dry_at
        self._dry_at = (now if dry_at < now else dry_at) + size / self._rate

    def send(self, audio: bytes, now: float) -> None:
        """Take audio of any length."""
        self._backlog.append(audio)
        self._write(now)

    def mark(self, name: str, now: float) -> None:
        """Set a mark behind everything taken so far."""
        self._backlog.mark(name)
        self._write(now)

    def flush(self, now: float) -> Flushed:
        """Throw away what was not played. No `MarkReached` and no `Drained` comes for it."""
        dropped = self._backlog.flush()
        self._unannounced = False
        if self._confirmed >= self._real_end and all(mark.name is None for mark in self._marks):  # all was heard
            self._recount()
            return Flushed(False, dropped, 0, self._written, (), self._per_ms, self.frame)
        queued = max(0, round((self._dry_at - now) * self._rate))
        flushed = Flushed(True, dropped, queued, self._written, tuple(self._silences), self._per_ms, self.frame)
        self.outbox += (command("GET_STATUS"), command("FLUSH_MEDIA"), command("CONTINUE_MEDIA"))  # flush keeps a pause
        self._emptied(now)
        self._fill(now)
        return flushed

    def processed(self, mark: MarkProcessed, now: float) -> list[MarkReached | Drained]:
        """A mark came back; gives the events that it means."""
        events: list[MarkReached | Drained] = []
        while self._marks and self._marks[0].number <= mark.number:
            passed = self._marks.popleft()
            self._confirmed = passed.position
            while self._silences and self._silences[0][1] <= passed.position:
                self._silences.popleft()
            if passed.name is not None:
                events.append(MarkReached(passed.name))
            if passed.ends and self._real_end <= passed.position and not self._backlog:
                events.append(Drained())
            if passed.number == mark.number:
                self._dry_at = now + (self._written - passed.position) / self._rate
        self._write(now)
        return events

    def hold(self, held: bool, now: float) -> None:
        """XOFF or XON."""
        self._held = held
        self._write(now)

    @property
    def wake_at(self) -> float:
        """When `wake` is due, unless something is sent before; it never has to be exact."""
        if self._silent:
            return self._dry_at - IDLE_LEAD_MS / 1000
        if (self._dry_at - self._last_write) * 1000 < PIECEMEAL_MS and self._real_end == self._written:
            return self._dry_at + PATIENCE_MS / 1000
        return self._dry_at - LEAD_MS / 1000

    def wake(self, now: float) -> float:
        """Keep the line alive; returns when to call again."""
        if now < self.wake_at:
            return self.wake_at
        if 0 < len(self._backlog) < self.frame:
            self._backlog.pad()  # no more came: the last frame is what it is
            self._write(now)
        if self._backlog:
            return now + LEAD_MS / 1000  # Asterisk is behind our clock: its marks say when to go on
        self._fill(now)
        return max(self.wake_at, now + LEAD_MS / 1000)

    def is_deaf(self, now: float) -> bool:
        """Whether Asterisk stopped answering."""
        return bool(self._marks) and now - self._marks[0].at > DEAF_S

    def _write(self, now: float) -> None:
        backlog = self._backlog
        if self._silent and backlog.has_frame and not self._held:
            waiting = [mark for mark in self._marks if mark.name is not None]
            self.outbox.append(command("FLUSH_MEDIA"))
            self._emptied(now)
            for mark in waiting:  # marks of real audio that was played; the flush took them with the silence
                self._place_mark(mark.name, now, ends=mark.ends)
        while not self._held and backlog.has_frame:
            room = self._whole(AHEAD_MS) - (self._written - self._confirmed)
            taken = backlog.take(min(room, self._whole(PIECE_MS)))
            if not taken:
                break
            for item in taken:
                if isinstance(item, str):
                    self._place_mark(item, now)
                else:
                    self.outbox.append(item)
                    self.direct(len(item), now)
            if self._written - self._marked >= self._whole(MARK_EVERY_MS):
                self._place_mark(None, now)
        self._recount()

    def _fill(self, now: float) -> None:
        """Silence behind what was written; a long piece only where nothing real lies before it, for it gets flushed."""
        if self._held:
            return
        if self._unannounced:
            self._place_mark(None, now, ends=True)
            self._unannounced = False
        self._silent = self._confirmed >= self._real_end
        size = self._whole(SILENCE_MS if self._silent else BRIDGING_MS)
        self.outbox.append(self._filler[:size])
        self._silences.append((self._written, self._written + size))
        self._written += size
        self._dry_at = max(self._dry_at, now) + size / self._rate
        if self._silent:
            self._place_mark(None, now)
        self._recount()

    def _emptied(self, now: float) -> None:
        """After FLUSH_MEDIA: the queue is empty and its marks never come."""
        self._marks.clear()
        self._silences.clear()
        self._confirmed = self._marked = self._real_end = self._written
        self._dry_at = now
        self._silent = False

    def _place_mark(self, name: str | None, now: float, *, ends: bool = False) -> None:
        self._number += 1
        self._marks.append(_Mark(self._number, self._written, name, ends, now))
        self._marked = self._written
        self.outbox.append(command("MARK_MEDIA", str(self._number)))

    def _recount(self) -> None:
        if self._held or self._silent or self._backlog:
            self.room = 0
        else:
            until_mark = self._whole(MARK_EVERY_MS) - (self._written - self._marked)
            until_full = self._whole(AHEAD_MS) - (self._written - self._confirmed)
            self.room = min(until_mark, until_full, self._whole(PIECE_MS))

    def _whole(self, ms: int) -> int:
        return ms * self._per_ms // self.frame * self.frame
