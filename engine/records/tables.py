"""The tables of the call records: one for the call, one for each list in a `CallRecord`.

Every column is named like the field of the model in `engine.record` that it keeps, so that rows and models convert by
name. A row of a list is known by its call and its place in the list. Only types that SQLite and PostgreSQL share are
used. When a table changes, so do the migrations; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Table,
    Text,
    TypeDecorator,
)

from engine.checkpoint import Checkpoint
from engine.discretion import HIDDEN, WORDS
from engine.prices import SMALLEST
from engine.record import CallRecord

metadata: Final = MetaData()


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text from outside: what no database takes (NUL, half a surrogate pair) is replaced, lest it cost a record."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return clean(value)


class Amount(TypeDecorator[Decimal]):
    """Money as a whole number of its smallest part, which every database adds up exactly."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else int((value / SMALLEST).to_integral_value())

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """From the database."""
        return None if value is None else value * SMALLEST


def clean(value: str) -> str:
    """The text without what no database stores."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _part(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("call_id", Words, ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
        Column("position", Integer, primary_key=True),
        *columns,
    )


def _words(name: str) -> Column[Any]:
    return Column(name, Words, nullable=False)


calls: Final = Table(
    "calls",
    metadata,
    Column("id", Words, primary_key=True),
    _words("engine"),
    _words("flow"),
    _words("revision"),
    _words("direction"),
    _words("did"),
    _words("caller"),
    _words("caller_name"),
    _words("trunk"),
    Column("started", Moment, nullable=False),
    Column("answered", Moment),
    Column("ended", Moment),
    _words("outcome"),
    _words("hangup_by"),
    Column("cause", Integer),
    _words("error"),
    _words("result"),
    Column("cost", Amount, nullable=False),
    _words("currency"),
    Column("headers", JSON, nullable=False),
    Column("input", JSON, nullable=False),
    Column("timings", JSON, nullable=False),
    Index("calls_started", "started"),
    Index("calls_engine_outcome", "engine", "outcome"),
)

PARTS: Final[Mapping[str, Table]] = {
    "legs": _part(
        "legs",
        _words("id"),
        _words("kind"),
        _words("party"),
        Column("started", Moment, nullable=False),
        Column("answered", Moment),
        Column("ended", Moment),
        Column("cause", Integer),
        Column("sip_code", Integer),
    ),
    "attempts": _part(
        "attempts",
        _words("step"),
        _words("target"),
        _words("status"),
        _words("reason"),
        Column("sip_code", Integer),
        Column("q850", Integer),
        Column("ring_ms", Integer, nullable=False),
        _words("key"),
        Column("key_ms", Integer),
        Column("started", Moment, nullable=False),
    ),
    "steps": _part(
        "steps",
        Column("id", Words),
        _words("path"),
        _words("verb"),
        _words("where"),
        Column("started", Moment, nullable=False),
        Column("ms", Integer),
        Column("outcome", Words),
        _words("detail"),
        Column("data", JSON, nullable=False),
    ),
    "transcript": _part(
        "transcript",
        _words("role"),
        _words("text"),
        Column("at", Moment, nullable=False),
        _words("step"),
        Column("interrupted", Boolean, nullable=False),
        Column("improvised", Boolean, nullable=False),
    ),
    "tools": _part(
        "tools",
        _words("name"),
        Column("at", Moment, nullable=False),
        Column("ms", Integer),
        _words("outcome"),
        _words("step"),
        Column("arguments", JSON, nullable=False),
    ),
    "presses": _part("presses", _words("key"), Column("at", Moment, nullable=False), _words("step")),
    "requests": _part(
        "requests",
        _words("endpoint"),
        _words("method"),
        _words("path"),
        Column("at", Moment, nullable=False),
        Column("ms", Integer),
        _words("outcome"),
        Column("status", Integer, nullable=False),
        _words("step"),
        Column("answer", JSON, nullable=False),
    ),
    "written": _part(
        "written",
        Column("at", Moment, nullable=False),
        Column("ms", Integer),
        _words("outcome"),
        _words("step"),
        _words("answer"),
    ),
    "tokens": _part(
        "tokens",
        _words("provider"),
        _words("model"),
        Column("turns", Integer, nullable=False),
        Column("input_text", Integer, nullable=False),
        Column("input_audio", Integer, nullable=False),
        Column("cached", Integer, nullable=False),
        Column("output_text", Integer, nullable=False),
        Column("output_audio", Integer, nullable=False),
        Column("cached_audio", Integer, nullable=False),
        Column("seconds_heard", Float, nullable=False),
        Column("seconds_spoken", Float, nullable=False),
        Column("seconds_session", Float, nullable=False),
        Column("characters", Integer, nullable=False),
        Column("items", Integer, nullable=False),
        Column("cost", Amount, nullable=False),
        Column("costs", JSON, nullable=False),
        Column("unpriced", JSON, nullable=False),
    ),
}
"""The lists of a `CallRecord` and where each is kept."""

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("call_id", Words, ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
    _words("channel"),
    Column("at", Moment, nullable=False),
    Column("vars", JSON, nullable=False),
    Column("with_person", Boolean, nullable=False),
    Column("account", Words),
    Column("fallback", Words),
    Column("resumed", Integer, nullable=False),
    Index("checkpoints_channel", "channel"),
)
"""`engine.checkpoint.Checkpoint` of each call that is live."""

engines: Final = Table(
    "engines",
    metadata,
    Column("id", Words, primary_key=True),
    _words("name"),
    _words("app"),
    _words("place"),
    Column("pid", Integer, nullable=False),
    Column("seen", Moment, nullable=False),
)
"""Engines that live, or died (`engine.records.presence`)."""


def rows(record: CallRecord) -> dict[Table, list[dict[str, Any]]]:
    """A record as the rows of each table, the call's own first."""
    fields = dict(record)
    parts: dict[Table, list[dict[str, Any]]] = {}
    for name, table in PARTS.items():
        items: list[BaseModel] = fields.pop(name)
        parts[table] = [{"call_id": record.id, "position": n, **dict(item)} for n, item in enumerate(items)]
    return {calls: [fields], **parts}


def without_words(parts: dict[Table, list[dict[str, Any]]]) -> dict[Table, list[dict[str, Any]]]:
    """The rows without anything that was said, typed or told in answer."""
    silent: dict[str, dict[str, Any]] = {
        "steps": {"data": {}}, "tools": {"arguments": {}}, "requests": {"answer": None}, "presses": {"key": HIDDEN},
        "written": {"answer": WORDS},
    }  # fmt: skip
    for name, blank in silent.items():
        parts[PARTS[name]] = [{**row, **blank} for row in parts[PARTS[name]]]
    return {**parts, PARTS["transcript"]: []}


def checkpoint_row(call_id: str, state: Checkpoint, *, without_words: bool) -> dict[str, Any]:
    """A checkpoint as its row. Variables may hold what was said."""
    columns = {column.name: getattr(state, column.name) for column in checkpoints.columns if column.name != "call_id"}
    return {**columns, "call_id": call_id, "vars": {} if without_words else dict(state.vars)}


def record_from(call: RowMapping, parts: Mapping[str, Iterable[RowMapping]]) -> CallRecord:
    """A record from its row and the rows of its lists, these in order."""
    lists = {name: [dict(row) for row in found] for name, found in parts.items()}
    return CallRecord.model_validate({**call, **lists})
