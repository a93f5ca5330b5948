"""Attempts at events that may kill their process, and who handles the events of a handler."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.add_column(
        "event_handlers",
        sa.Column("taken_by", sa.Text(), nullable=True, comment="the process at work; NULL: the last one handed over"),
    )
    op.create_table(
        "event_attempts",
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("event_id", Id, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="begun alone; 0: begun together with others"),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("handler", "event_id", name=op.f("pk_event_attempts")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
