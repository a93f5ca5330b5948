"""Handlers of events: where each began, what it answered, and what it gave up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.add_column(
        "inbox", sa.Column("reply", sa.Text(), nullable=True, comment="JSON: what the effect's command answered")
    )
    op.create_table(
        "event_handlers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "begins_after",
            sa.BigInteger(),
            nullable=False,
            comment="position of the newest commit when it was first run",
        ),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_handlers")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("event_id", Id, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False, comment="of the event"),
        sa.Column("payload", sa.Text(), nullable=False, comment="JSON: kept here, because the outbox is pruned"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "asked_by", sa.Text(), nullable=True, comment="who asked for another attempt; NULL: nobody since the last"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint(
            "tenant_id", "handler", "event_id", name=op.f("uq_dead_letters_tenant_id_handler_event_id")
        ),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
