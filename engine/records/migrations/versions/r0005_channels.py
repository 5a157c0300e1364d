"""Checkpoints are found by their channel."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the index."""
    op.create_index("checkpoints_channel", "checkpoints", ["channel"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("checkpoints_channel", "checkpoints")
