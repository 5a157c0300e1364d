"""The audit log: who looked at what and did what, one JSON line each, only ever appended.

A line is written before what it tells is served; when it cannot be, that is not served. Lines are written in a thread,
one after the other: no call waits for a disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import structlog

from engine.console.models import AuditEntry
from engine.console.problems import ProblemError

log = structlog.get_logger()

TAIL_BYTES = 1 << 20  # how much of its end is read when somebody looks at it


class Audit:
    """The log in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._order = asyncio.Lock()

    async def note(
        self, at: datetime, who: str, role: str, source: str, action: str, call: str | None = None, detail: str = ""
    ) -> None:
        """Write a line. Raises `ProblemError` when that is not possible."""
        entry = AuditEntry(at=at, who=who, role=role, source=source, action=action, call=call, detail=detail)
        line = (entry.model_dump_json(exclude_defaults=True) + "\n").encode()
        try:
            async with self._order:
                await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(self._append, line)))
        except OSError as error:
            log.error("the audit log cannot be written", file=str(self.file), reason=error.strerror or str(error))
            raise ProblemError("no-audit", "what is not written down is not served; see the engine's log") from error

    async def newest(self, limit: int, call: str | None = None) -> list[AuditEntry]:
        """The newest lines, newest first; of one call when it is named. Raises `ProblemError`."""
        try:
            return await asyncio.to_thread(self._tail, limit, call)
        except OSError as error:
            raise ProblemError("no-audit", f"the audit log cannot be read: {error.strerror or error}") from error

    async def trim(self, before: datetime) -> int:
        """Delete the lines from before a moment; how many there were. Raises `OSError`.

        Meanwhile nothing is served that must be written down. A line that another process writes just then may be lost.
        """
        async with self._order:
            return await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(self._trim, before)))

    def _trim(self, before: datetime) -> int:
        """The rest goes into a new file, which takes the place of the old one as a whole or not at all."""
        try:
            handle = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return 0
        with open(handle, "rb") as stream:
            gone, rest, read = 0, 0, 0
            for number, line in enumerate(stream, 1):
                read += len(line)
                at = _moment(line)
                if at is not None and at >= before:
                    break
                if at is not None:  # else it may be of a disk that was full: it goes with an older line behind it
                    gone, rest = number, read
            if not gone:
                return 0
            stream.seek(rest)
            beside = self.file.with_name(f"{self.file.name}.part")
            beside.unlink(missing_ok=True)
            try:
                with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
                    shutil.copyfileobj(stream, new)
                    new.flush()
                    os.fsync(new.fileno())
                beside.replace(self.file)
            finally:
                beside.unlink(missing_ok=True)
        return gone

    def _append(self, line: bytes) -> None:
        """One write to the end of the file: lines are never mixed, also not with those of another process."""
        try:
            handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.write(handle, line) != len(line):
                raise OSError("the disk took only a part of the line")
        finally:
            os.close(handle)

    def _tail(self, limit: int, call: str | None) -> list[AuditEntry]:
        found: deque[AuditEntry] = deque(maxlen=limit)
        with self.file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL_BYTES))
            if size > TAIL_BYTES:
                stream.readline()  # a part of a line
            for line in stream:
                try:
                    entry = AuditEntry.model_validate_json(line)
                except ValueError:
                    continue  # of a disk that was full
                if call is None or entry.call == call:
                    found.append(entry)
        return list(reversed(found))


def _moment(line: bytes) -> datetime | None:
    """When a line was written; None for what is no line of ours."""
    try:
        return datetime.fromisoformat(json.loads(line)["at"]).astimezone(UTC)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
