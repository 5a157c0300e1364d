"""Call records kept in a database: `Records` writes and finds them, `timeline.render` shows one."""

from engine.records.database import RecordsError
from engine.records.store import Records

__all__ = ["Records", "RecordsError"]
