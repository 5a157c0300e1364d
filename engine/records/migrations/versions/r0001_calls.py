"""The first tables: calls and their legs, attempts, steps, transcript, tools and tokens."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _time(name: str, *, known: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not known)


def _number(name: str, *, known: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=not known)


def _part(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        *columns,
    )


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "calls",
        sa.Column("id", sa.Text, primary_key=True),
        *_text("engine", "flow", "revision", "direction", "did", "caller", "trunk"),
        _time("started", known=True),
        _time("answered"),
        _time("ended"),
        *_text("outcome", "hangup_by"),
        _number("cause"),
        *_text("error", "result"),
        sa.Column("timings", sa.JSON, nullable=False),
    )
    op.create_index("calls_started", "calls", ["started"])
    op.create_index("calls_engine_outcome", "calls", ["engine", "outcome"])
    _part(
        "legs",
        *_text("id", "kind", "party"),
        _time("started", known=True),
        _time("answered"),
        _time("ended"),
        _number("cause"),
        _number("sip_code"),
    )
    _part(
        "attempts",
        *_text("step", "target", "status"),
        _number("sip_code"),
        _number("q850"),
        _number("ring_ms", known=True),
        _time("started", known=True),
    )
    _part(
        "steps",
        sa.Column("id", sa.Text),
        *_text("path", "verb", "where"),
        _time("started", known=True),
        _number("ms"),
        sa.Column("outcome", sa.Text),
        *_text("detail"),
        sa.Column("data", sa.JSON, nullable=False),
    )
    _part(
        "transcript",
        *_text("role", "text"),
        _time("at", known=True),
        *_text("step"),
        sa.Column("interrupted", sa.Boolean, nullable=False),
    )
    _part("tools", *_text("name"), _time("at", known=True), _number("ms"), *_text("outcome", "step"))
    counts = ("turns", "input_text", "input_audio", "cached", "output_text", "output_audio")
    _part("tokens", *_text("provider", "model"), *(_number(name, known=True) for name in counts))


def downgrade() -> None:
    """Drop them."""
    for name in ("tokens", "tools", "transcript", "steps", "attempts", "legs", "calls"):
        op.drop_table(name)
