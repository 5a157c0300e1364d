"""What engines that died left in the database: their live calls become lost, and a caller who is found has one back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import case, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from engine.checkpoint import Checkpoint
from engine.records.tables import calls, checkpoints

DIED: Final = "the engine ended while the call was live"
KEPT: Final = timedelta(days=1)  # how long a checkpoint waits for an engine that takes the call up again

log = structlog.get_logger(__name__)


async def mark_lost(connection: AsyncConnection, engine: str) -> None:
    """The calls that were live when this engine last ended; what nobody took up of calls long ago is deleted."""
    left = (calls.c.engine == engine) & (calls.c.outcome == "live")
    error = case((calls.c.error == "", DIED), else_=calls.c.error)
    found = await connection.execute(update(calls).where(left).values(outcome="lost", error=error))
    await connection.execute(delete(checkpoints).where(checkpoints.c.at < datetime.now(UTC) - KEPT))
    if found.rowcount:
        log.warning("calls were live when this engine last ended; their records say lost", calls=found.rowcount)


async def claimed(connection: AsyncConnection, engine: str, channel: str) -> tuple[str, Checkpoint] | None:
    """Id and checkpoint of the engine's call on this channel, its resumption counted."""
    kept = (await connection.execute(counting(engine, channel))).mappings().all()
    if not kept:
        return None
    found = dict(max(kept, key=lambda row: row["at"]))
    return found.pop("call_id"), Checkpoint(**found)


def counting(engine: str, channel: str) -> ReturningUpdate[Any]:
    """Begins at the channel, of which there are one or two: an engine may have recorded calls for years."""
    its = select(calls.c.id).where(calls.c.id == checkpoints.c.call_id, calls.c.engine == engine)
    found = update(checkpoints).where(checkpoints.c.channel == channel, its.correlate(checkpoints).exists())
    return found.values(resumed=checkpoints.c.resumed + 1).returning(checkpoints)
