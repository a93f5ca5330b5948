"""Deadlines of what has not ended, without looking through all that ever was."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_HAS_DEADLINE = sa.text("ended_at IS NULL AND deadline_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_queue_items_deadline",
        "queue_items",
        ["queue", "deadline_at"],
        postgresql_where=_HAS_DEADLINE,
        sqlite_where=_HAS_DEADLINE,
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
