"""What a call needs to be played again: keys pressed, requests, arguments; and why somebody could not be rung."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _new(name: str, kind: Any, default: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def _columns() -> Mapping[str, list[sa.Column[Any]]]:
    """What tables that exist gain. Calls on record have none of it."""
    return {
        "calls": [_new("caller_name", sa.Text, ""), _new("headers", sa.JSON, "{}"), _new("input", sa.JSON, "{}")],
        "attempts": [_new("reason", sa.Text, ""), _new("key", sa.Text, ""), sa.Column("key_ms", sa.Integer)],
        "transcript": [_new("improvised", sa.Boolean, sa.false())],
        "tools": [_new("arguments", sa.JSON, "{}")],
    }


def _part(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        *columns,
    )


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _at() -> sa.Column[Any]:
    return sa.Column("at", sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    """Add columns, and tables for keys, requests and what text models wrote."""
    for table, columns in _columns().items():
        with op.batch_alter_table(table) as changed:
            for column in columns:
                changed.add_column(column)
    _part("presses", *_text("key"), _at(), *_text("step"))
    _part(
        "requests",
        *_text("endpoint", "method", "path"),
        _at(),
        sa.Column("ms", sa.Integer),
        *_text("outcome"),
        sa.Column("status", sa.Integer, nullable=False),
        *_text("step"),
        sa.Column("answer", sa.JSON, nullable=False),
    )
    _part("written", _at(), sa.Column("ms", sa.Integer), *_text("outcome", "step", "answer"))


def downgrade() -> None:
    """Forget it."""
    for name in ("written", "requests", "presses"):
        op.drop_table(name)
    for table, columns in _columns().items():
        with op.batch_alter_table(table) as changed:
            for column in columns:
                changed.drop_column(column.name)
