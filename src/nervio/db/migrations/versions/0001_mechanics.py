"""The tables of the database layer's own mechanics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from nervio.db.dialects import execute_only_on

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    _create_commits()
    _create_cursors()
    _create_halts()
    _create_idempotency_keys()
    _create_inbox()
    _create_leases()
    _create_outbox()


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")


def _create_commits() -> None:
    op.create_table(
        "commits",
        sa.Column("id", Id, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commits")),
        sa.UniqueConstraint("position", name=op.f("uq_commits_position")),
    )
    op.create_index(
        "ix_commits_unnumbered",
        "commits",
        ["seq"],
        unique=False,
        postgresql_where=sa.text("position IS NULL"),
        sqlite_where=sa.text("position IS NULL"),
    )
    execute_only_on(
        "postgresql",
        op.get_bind(),
        "CREATE SEQUENCE commits_seq",
        "ALTER TABLE commits ALTER COLUMN seq SET DEFAULT nextval('commits_seq')",
    )


def _create_cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False, comment="fencing token of the lease that moved it last"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursors")),
    )


def _create_halts() -> None:
    op.create_table(
        "halts",
        sa.Column("id", Id, nullable=False),
        sa.Column("tenant_id", Id, nullable=True, comment="NULL: every tenant"),
        sa.Column("module", sa.Text(), nullable=True, comment="NULL: every module"),
        sa.Column("location_id", Id, nullable=True, comment="NULL: every location"),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("activated_by", sa.Text(), nullable=False),
        sa.Column("activated_at", sa.BigInteger(), nullable=False),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("clear_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("level IN ('reduce_only', 'read_only', 'all')", name=op.f("ck_halts_level")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_halts")),
    )
    op.create_index("ix_halts_cleared_at", "halts", ["cleared_at"], unique=False)


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "operation", "key", name=op.f("pk_idempotency_keys")),
        sqlite_with_rowid=False,
    )


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("event_id", Id, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("handler", "event_id", name=op.f("pk_inbox")),
        sqlite_with_rowid=False,
    )


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("commit_id", Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("commit_id", "n", name=op.f("pk_outbox")),
        sqlite_with_rowid=False,
    )
