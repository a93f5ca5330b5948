"""The fleet: what a task asks for, its attempts, the workers and how fast they are, and what each tenant used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.add_column(
        "queue_items",
        sa.Column(
            "model",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="what whoever does it must have; empty: nothing",
        ),
    )
    op.create_table(
        "fleet_attempts",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("task_id", Id, nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="how manieth try; handing back counts none"),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ending", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "task_id", "token", name=op.f("pk_fleet_attempts")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_fleet_attempts_ended", "fleet_attempts", ["tenant_id", "ended_at", "task_id"])
    failed = sa.text("error IS NOT NULL")
    op.create_index(
        "ix_fleet_attempts_errors",
        "fleet_attempts",
        ["tenant_id", "ended_at"],
        postgresql_where=failed,
        sqlite_where=failed,
    )
    op.create_table(
        "fleet_usage",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="in UTC"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("submitted", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("attempts_failed", sa.BigInteger(), nullable=False),
        sa.Column("worked_ms", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "kind", name=op.f("pk_fleet_usage")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fleet_workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="the process that it is connected to"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False, comment="JSON: what it said of itself"),
        sa.Column("transport", sa.Text(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("tasks_completed", sa.BigInteger(), nullable=False),
        sa.Column("tasks_failed", sa.BigInteger(), nullable=False),
        sa.Column("worked_ms", sa.BigInteger(), nullable=False, comment="on what it completed"),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_workers")),
        sa.CheckConstraint("status IN ('idle', 'busy', 'gone')", name=op.f("ck_fleet_workers_status")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fleet_speeds",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False, comment="empty: of all workers"),
        sa.Column("learnt", sa.Text(), nullable=False, comment="JSON: the line fitted, and its error"),
        sa.PrimaryKeyConstraint("kind", "model", "worker", name=op.f("pk_fleet_speeds")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
