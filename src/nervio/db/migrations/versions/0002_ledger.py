"""The tables of ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    _create_journal_entries()
    _create_journal_postings()
    _create_ledger_balances()
    _create_seal_blocks()


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")


def _create_journal_entries() -> None:
    op.create_table(
        "journal_entries",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("commit_id", Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_journal_entries")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_journal_entries_commit_id_n", "journal_entries", ["commit_id", "n"], unique=False)
    op.create_index("ix_journal_entries_document_id", "journal_entries", ["tenant_id", "document_id"], unique=False)


def _create_journal_postings() -> None:
    op.create_table(
        "journal_postings",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("entry_id", Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("lot", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_journal_postings_amount")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_journal_postings_accounts")),
        sa.PrimaryKeyConstraint("tenant_id", "entry_id", "n", name=op.f("pk_journal_postings")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_journal_postings_asset", "journal_postings", ["tenant_id", "asset", "entry_id"], unique=False)


def _create_ledger_balances() -> None:
    op.create_table(
        "ledger_balances",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "account", "asset", name=op.f("pk_ledger_balances")),
    )


def _create_seal_blocks() -> None:
    op.create_table(
        "seal_blocks",
        sa.Column("height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("from_position", sa.BigInteger(), nullable=False),
        sa.Column("to_position", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.BigInteger(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("height", name=op.f("pk_seal_blocks")),
    )
