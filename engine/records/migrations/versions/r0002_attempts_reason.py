"""Why a target could not be dialled at all."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Attempts on record had no reason."""
    with op.batch_alter_table("attempts") as table:
        table.add_column(sa.Column("reason", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Forget the reasons."""
    with op.batch_alter_table("attempts") as table:
        table.drop_column("reason")
