"""Calls that are over: pages of them, and the sound that was kept."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import wave
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

import structlog
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from engine.console.models import RecordingHead
from engine.console.problems import ProblemError
from engine.record import CallRecord
from engine.records.database import RecordsError

log = structlog.get_logger()


@runtime_checkable
class Archive(Protocol):
    """Where records are found again: `engine.records.Records`."""

    async def get(self, call_id: str) -> CallRecord:
        """The record of a call. Raises `RecordsError`."""

    async def page(
        self, limit: int, *, number: str | None, flow: str | None, outcome: str | None, since: datetime | None,
        until: datetime | None, after: tuple[datetime, str] | None,
    ) -> list[CallRecord]:  # fmt: skip
        """See `engine.records.Records.page`."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years that there are") from None


When = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class HistoryQuery(BaseModel):
    """What `GET /history` takes."""

    model_config = ConfigDict(extra="forbid")

    number: str | None = Field(None, min_length=1, max_length=40, description="Part of the caller's or called number")
    flow: str | None = Field(None, min_length=1, max_length=200)
    outcome: str | None = Field(None, pattern="^[a-z_]{1,40}$")
    since: When | None = Field(None, description="The first moment")
    until: When | None = Field(None, description="The first moment that is excluded")
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=400, description="`next` of the page before")


def cursor_of(record: CallRecord) -> str:
    """Where the page after this call begins."""
    told = f"{record.started.astimezone(UTC).isoformat()} {record.id}"
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[datetime, str]:
    """Start and id of the call at which a cursor stands. Raises `ProblemError`."""
    try:
        told = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        started, id_ = told.split(" ", 1)
        moment = datetime.fromisoformat(started)
        if moment.tzinfo is None or not id_:
            raise ValueError("no zone")
        moment = _in_utc(moment)
    except ValueError:
        raise ProblemError("bad-request", "the parameters are not right", ["cursor: it is none of ours"]) from None
    return moment, id_


async def one(archive: Archive, id_: str) -> CallRecord:
    """The record with exactly this id. Raises `ProblemError`."""
    try:
        record = await archive.get(id_)
    except RecordsError as error:
        if error.__cause__ is not None:  # of the database
            raise _unavailable(error) from error
        raise ProblemError("not-found", f"there is no call {id_!r}") from None
    if record.id != id_:
        raise ProblemError("not-found", f"there is no call {id_!r}")
    return record


async def page(archive: Archive, asked: HistoryQuery) -> tuple[list[CallRecord], str | None]:
    """A page of calls and the cursor of the next. Raises `ProblemError`."""
    after = None if asked.cursor is None else place_of(asked.cursor)
    try:
        found = await archive.page(
            asked.limit + 1, number=asked.number, flow=asked.flow, outcome=asked.outcome, since=asked.since,
            until=asked.until, after=after,
        )  # fmt: skip
    except RecordsError as error:
        raise _unavailable(error) from error
    more = len(found) > asked.limit
    return found[: asked.limit], cursor_of(found[asked.limit - 1]) if more else None


def _unavailable(error: RecordsError) -> ProblemError:
    log.error("past calls cannot be read", reason=str(error))
    return ProblemError("no-records", "the database does not answer; the engine's log tells more")


# ── Sound ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def recordings(folder: Path, record: CallRecord, *, running: Path | None = None) -> list[RecordingHead]:
    """The sound files of a call, oldest first; ``running`` is the one that is being written."""
    return await asyncio.to_thread(_recordings, folder, record, running)


def _recordings(folder: Path, record: CallRecord, running: Path | None) -> list[RecordingHead]:
    found = []
    for number, path in enumerate(files(folder, record.id)):
        try:
            with wave.open(str(path)) as sound:
                ms = sound.getnframes() * 1000 // sound.getframerate()
            size = path.stat().st_size
        except (OSError, wave.Error, EOFError):
            continue
        found.append(
            RecordingHead(
                number=number, url=f"/api/v1/calls/{record.id}/recordings/{number}", started=_began(path, record),
                ms=ms, bytes=size, complete=path != running,
            )
        )  # fmt: skip
    return found


def files(folder: Path, call: str) -> list[Path]:
    """The recordings of a call, by their names (see `engine.recording.new_file`), oldest first. Reads the whole folder,
    which may be large: not for the event loop."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", call)
    name = re.compile(rf"\d{{8}}T\d{{6}}Z-{re.escape(safe)}-(\d+)\.wav")
    try:
        every = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = [(one[:16], int(match[1]), one) for one in every if safe in one and (match := name.fullmatch(one))]
    return [folder / one for _, _, one in sorted(found)]


def _began(path: Path, record: CallRecord) -> datetime:
    """When a recording begins: with the step that started it, which its name counts; else the second of its name."""
    number = int(path.stem.rsplit("-", 1)[1]) - 1
    if number < len(record.steps) and record.steps[number].verb == "record":
        return record.steps[number].started
    return datetime.strptime(path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
