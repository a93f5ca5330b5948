"""Deadlines of what has not ended, without looking through all that ever was; answers that are kept for equal tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_HAS_DEADLINE = sa.text("ended_at IS NULL AND deadline_at IS NOT NULL")
_IS_FOLLOWING = sa.text("run_at = 253402300799999999 AND ended_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_queue_items_deadline",
        "queue_items",
        ["queue", "deadline_at"],
        postgresql_where=_HAS_DEADLINE,
        sqlite_where=_HAS_DEADLINE,
    )
    op.add_column(
        "queue_items",
        sa.Column("digest", sa.Text(), nullable=True, comment="what it has in common with work that asks for the same"),
    )
    op.create_index(
        "ix_queue_items_following",
        "queue_items",
        ["queue", "tenant_id", "id"],
        postgresql_where=_IS_FOLLOWING,
        sqlite_where=_IS_FOLLOWING,
    )
    op.create_table(
        "fleet_answers",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of kind, model and payload"),
        sa.Column("task_id", Id, nullable=True, comment="who brings it, or brought it; none: nobody any more"),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="of that task"),
        sa.Column("result", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("usage", sa.Text(), nullable=True, comment="JSON: what it cost"),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("awaited", sa.Integer(), nullable=False, comment="tasks that wait for it"),
        sa.PrimaryKeyConstraint("tenant_id", "digest", name=op.f("pk_fleet_answers")),
        sa.CheckConstraint("(answered_at IS NULL) = (result IS NULL)", name=op.f("ck_fleet_answers_answered")),
        sqlite_with_rowid=False,
    )
    cached = sa.Column(
        "cached", sa.BigInteger(), nullable=False, server_default="0", comment="done with the answer to an equal task"
    )
    op.add_column("fleet_usage", cached)
    for name in ("saved_input_tokens", "saved_output_tokens"):
        op.add_column("fleet_usage", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
