"""Tables of the ledger. Rows are only ever inserted; `ledger_balances` alone is a snapshot that can be rebuilt."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from nervio.db.tables import Id, InstantColumn, metadata

journal_entries = Table(
    "journal_entries",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("commit_id", Id, nullable=False),
    Column("n", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("document_id", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("effective_at", InstantColumn, nullable=False),
    Column("recorded_at", InstantColumn, nullable=False),
    Column("details", Text, nullable=True),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("ix_journal_entries_commit_id_n", "commit_id", "n"),
    Index("ix_journal_entries_document_id", "tenant_id", "document_id"),
    sqlite_with_rowid=False,
)

journal_postings = Table(
    "journal_postings",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("entry_id", Id, nullable=False),
    Column("n", Integer, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("lot", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "entry_id", "n"),
    # No foreign key to the entry: both are flushed by one statement, the seal covers them together, and `verify` finds a
    # posting without its entry. Checking each row again would be a third of a sale's cost on PostgreSQL.
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("debit <> credit", name="accounts"),
    Index("ix_journal_postings_asset", "tenant_id", "asset", "entry_id"),
    sqlite_with_rowid=False,
)

seal_blocks = Table(
    "seal_blocks",
    metadata,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("from_position", BigInteger, nullable=False),
    Column("to_position", BigInteger, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("sealed_at", InstantColumn, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

ledger_balances = Table(
    "ledger_balances",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("account", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "account", "asset"),
)
