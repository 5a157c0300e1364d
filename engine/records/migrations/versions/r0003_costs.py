"""What calls cost: of a call, and of each model with everything that is charged for."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _columns() -> dict[str, list[sa.Column[Any]]]:
    whole = ("cached_audio", "characters", "items")
    parts = ("seconds_heard", "seconds_spoken", "seconds_session")
    return {
        "calls": [_new("cost", sa.BigInteger, "0"), _new("currency", sa.Text, "")],
        "tokens": [
            *(_new(name, sa.Integer, "0") for name in whole),
            *(_new(name, sa.Float, "0") for name in parts),
            _new("cost", sa.BigInteger, "0"),
            _new("costs", sa.JSON, "{}"),
            _new("unpriced", sa.JSON, "[]"),
        ],
    }


def _new(name: str, kind: Any, default: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def upgrade() -> None:
    """Add the columns; what calls cost before is not known."""
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)


def downgrade() -> None:
    """Drop them."""
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
