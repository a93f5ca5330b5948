"""Durable work: one queue in our own database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "queue_items",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="0 is the most urgent"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False, comment="not to be tried before"),
        sa.Column("deadline_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("most_attempts", sa.Integer(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="grows with every claim"),
        sa.Column("owner", sa.Text(), nullable=True, comment="the process that has it"),
        sa.Column("worker", sa.Text(), nullable=True, comment="whom that process gave it to"),
        sa.Column(
            "size", sa.BigInteger(), nullable=False, comment="how much work it is likely to be, in a unit of its kind"
        ),
        sa.Column("payload", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("checkpoint", sa.Text(), nullable=True, comment="JSON: how far it got"),
        sa.Column("result", sa.Text(), nullable=True, comment="JSON"),
        sa.Column("usage", sa.Text(), nullable=True, comment="JSON: what it cost"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_queue_items")),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_queue_items_state")
        ),
        sa.CheckConstraint("(state = 'running') = (owner IS NOT NULL)", name=op.f("ck_queue_items_owner")),
        sa.CheckConstraint("attempts >= 0 AND token >= 0", name=op.f("ck_queue_items_counts")),
        sqlite_with_rowid=False,
    )
    waiting, running = sa.text("state = 'waiting'"), sa.text("state = 'running'")
    op.create_index(
        "ix_queue_items_waiting",
        "queue_items",
        ["queue", "tenant_id", "priority", "run_at", "id"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
    op.create_index(
        "ix_queue_items_running",
        "queue_items",
        ["queue", "owner", "tenant_id"],
        postgresql_where=running,
        sqlite_where=running,
    )
    op.create_index("ix_queue_items_listed", "queue_items", ["tenant_id", "queue", "created_at", "id"])


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
