"""How far live calls have come, for the engine that starts after one that died."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "checkpoints",
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("vars", sa.JSON, nullable=False),
        sa.Column("with_person", sa.Boolean, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("fallback", sa.Text),
        sa.Column("resumed", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Forget it."""
    op.drop_table("checkpoints")
