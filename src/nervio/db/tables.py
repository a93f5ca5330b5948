"""The one MetaData, column types, and the tables of the database layer's own mechanics."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects.postgresql import UUID

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Native uuid on PostgreSQL, canonical text elsewhere: SQLite's JSON functions, through which sets of keys travel,
# cannot carry blobs. Costs 20 bytes a reference there.
Id = String(36).with_variant(UUID(as_uuid=False), "postgresql")

# Microseconds since the epoch, UTC (see nervio.kernel.time).
InstantColumn = BigInteger

halts = Table(
    "halts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, nullable=True, comment="NULL: every tenant"),
    Column("module", Text, nullable=True, comment="NULL: every module"),
    Column("location_id", Id, nullable=True, comment="NULL: every location"),
    Column("level", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("activated_by", Text, nullable=False),
    Column("activated_at", InstantColumn, nullable=False),
    Column("cleared_by", Text, nullable=True),
    Column("cleared_at", InstantColumn, nullable=True),
    Column("clear_reason", Text, nullable=True),
    CheckConstraint("level IN ('reduce_only', 'read_only', 'all')", name="level"),
    Index("ix_halts_cleared_at", "cleared_at"),
)

commits = Table(
    "commits",
    metadata,
    Column("id", Id, primary_key=True),
    # Drawn while every lock of the transaction is held, so it never contradicts what a transaction had read.
    Column("seq", BigInteger, nullable=True),
    # Dense, given by one leader after the commit (on SQLite in it): the only order of facts.
    Column("position", BigInteger, nullable=True, unique=True),
    Column("recorded_at", InstantColumn, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
_unnumbered = commits.c.position.is_(None)
Index("ix_commits_unnumbered", commits.c.seq, postgresql_where=_unnumbered, sqlite_where=_unnumbered)

# Where commits are numbered afterwards, `seq` is drawn by the insert itself (see `Dialect.insert_commit`). A sequence is
# left out where the database has none, and so is the default.
Sequence("commits_seq", metadata=metadata)
event.listen(
    commits,
    "after_create",
    DDL("ALTER TABLE commits ALTER COLUMN seq SET DEFAULT nextval('commits_seq')").execute_if(  # type: ignore[no-untyped-call]
        dialect="postgresql"
    ),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("operation", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("reply", Text, nullable=False, comment="JSON"),
    Column("recorded_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "operation", "key"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("commit_id", Id, nullable=False),
    Column("n", Integer, nullable=False),
    Column("id", Id, nullable=False),
    Column("tenant_id", Id, nullable=False),
    Column("type", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", Text, nullable=False),
    PrimaryKeyConstraint("commit_id", "n"),
    sqlite_with_rowid=False,
)

inbox = Table(
    "inbox",
    metadata,
    Column("handler", Text, nullable=False),
    Column("event_id", Id, nullable=False),
    Column("recorded_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("handler", "event_id"),
    sqlite_with_rowid=False,
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("token", BigInteger, nullable=False, comment="fencing token of the lease that moved it last"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", InstantColumn, nullable=False),
)

__all__ = [
    "Id",
    "InstantColumn",
    "commits",
    "cursors",
    "halts",
    "idempotency_keys",
    "inbox",
    "leases",
    "metadata",
    "outbox",
]
