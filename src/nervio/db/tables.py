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
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    literal_column,
)
from sqlalchemy.dialects.postgresql import UUID

from nervio.kernel.time import LATEST

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
    Column("asked_level", Text, nullable=True, comment="the level it began with; NULL: the same"),
    Column("expires_at", InstantColumn, nullable=True, comment="NULL: latched"),
    # Of a thaw in stages: what held before this stage, for tenants whose turn has not come, and when the next is due.
    Column("former_level", Text, nullable=True),
    Column("stage_at", InstantColumn, nullable=True),
    Column("stage_us", BigInteger, nullable=True, comment="between two stages"),
    Column("spread_us", BigInteger, nullable=True, comment="over which the tenants follow a stage"),
    Column("next_stage_at", InstantColumn, nullable=True, comment="NULL: not being thawed"),
    Column("thawed_by", Text, nullable=True),
    Column("thaw_reason", Text, nullable=True),
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
    Column("reply", Text, nullable=True, comment="JSON: what the effect's command answered"),
    PrimaryKeyConstraint("handler", "event_id"),
    sqlite_with_rowid=False,
)

event_handlers = Table(
    "event_handlers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("begins_after", BigInteger, nullable=False, comment="position of the newest commit when it was first run"),
    Column("recorded_at", InstantColumn, nullable=False),
    Column("taken_by", Text, nullable=True, comment="the process at work; NULL: the last one handed over"),
)

event_attempts = Table(
    "event_attempts",
    metadata,
    Column("handler", Text, nullable=False),
    Column("event_id", Id, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, comment="begun alone; 0: begun together with others"),
    Column("recorded_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("handler", "event_id"),
    sqlite_with_rowid=False,
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("handler", Text, nullable=False),
    Column("event_id", Id, nullable=False),
    Column("type", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("recorded_at", InstantColumn, nullable=False, comment="of the event"),
    Column("payload", Text, nullable=False, comment="JSON: kept here, because the outbox is pruned"),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", InstantColumn, nullable=False),
    Column("last_at", InstantColumn, nullable=False),
    Column("asked_by", Text, nullable=True, comment="who asked for another attempt; NULL: nobody since the last"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "handler", "event_id"),
    sqlite_with_rowid=False,
)

_asked = dead_letters.c.asked_by.is_not(None)
Index(
    "ix_dead_letters_asked",
    dead_letters.c.position,
    dead_letters.c.n,
    dead_letters.c.id,
    postgresql_where=_asked,
    sqlite_where=_asked,
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

request_counts = Table(
    "request_counts",
    metadata,
    Column("process_id", Id, primary_key=True),
    Column("requests", BigInteger, nullable=False, comment="answered since the process began"),
    Column("errors", BigInteger, nullable=False, comment="of them with a fault of ours"),
    Column("counted_at", InstantColumn, nullable=False),
)

queue_items = Table(
    "queue_items",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False, server_default="", comment="what whoever does it must have; empty: nothing"),
    Column("priority", SmallInteger, nullable=False, comment="0 is the most urgent"),
    Column("state", Text, nullable=False),
    Column("run_at", InstantColumn, nullable=False, comment="not to be tried before"),
    Column("deadline_at", InstantColumn, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("most_attempts", Integer, nullable=False),
    Column("token", BigInteger, nullable=False, comment="grows with every claim"),
    Column("owner", Text, nullable=True, comment="the process that has it"),
    Column("worker", Text, nullable=True, comment="whom that process gave it to"),
    Column("size", BigInteger, nullable=False, comment="how much work it is likely to be, in a unit of its kind"),
    Column("payload", Text, nullable=False, comment="JSON"),
    Column("checkpoint", Text, nullable=True, comment="JSON: how far it got"),
    Column("result", Text, nullable=True, comment="JSON"),
    Column("usage", Text, nullable=True, comment="JSON: what it cost"),
    Column("error", Text, nullable=True),
    Column("created_by", Text, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("started_at", InstantColumn, nullable=True),
    Column("ended_at", InstantColumn, nullable=True),
    Column("digest", Text, nullable=True, comment="what it has in common with work that asks for the same"),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="state"),
    CheckConstraint("(state = 'running') = (owner IS NOT NULL)", name="owner"),
    CheckConstraint("attempts >= 0 AND token >= 0", name="counts"),
    sqlite_with_rowid=False,
)

# What waits and what runs is a small part of what was ever done: the indexes that are used all the time hold nothing else.
_waiting, _running = queue_items.c.state == "waiting", queue_items.c.state == "running"
Index(
    "ix_queue_items_waiting",
    queue_items.c.queue,
    queue_items.c.tenant_id,
    queue_items.c.priority,
    queue_items.c.run_at,
    queue_items.c.id,
    postgresql_where=_waiting,
    sqlite_where=_waiting,
)
Index(
    "ix_queue_items_running",
    queue_items.c.queue,
    queue_items.c.owner,
    queue_items.c.tenant_id,
    postgresql_where=_running,
    sqlite_where=_running,
)
# What waits for the end of other work is not due before the end of time.
_is_following = (queue_items.c.run_at == literal_column(str(LATEST))) & queue_items.c.ended_at.is_(None)
Index(
    "ix_queue_items_following",
    queue_items.c.queue,
    queue_items.c.tenant_id,
    queue_items.c.id,
    postgresql_where=_is_following,
    sqlite_where=_is_following,
)
_has_deadline = queue_items.c.ended_at.is_(None) & queue_items.c.deadline_at.is_not(None)
Index(
    "ix_queue_items_deadline",
    queue_items.c.queue,
    queue_items.c.deadline_at,
    postgresql_where=_has_deadline,
    sqlite_where=_has_deadline,
)
Index(
    "ix_queue_items_listed",
    queue_items.c.tenant_id,
    queue_items.c.queue,
    queue_items.c.created_at,
    queue_items.c.id,
)

__all__ = [
    "Id",
    "InstantColumn",
    "commits",
    "cursors",
    "dead_letters",
    "event_attempts",
    "event_handlers",
    "halts",
    "idempotency_keys",
    "inbox",
    "leases",
    "metadata",
    "outbox",
    "queue_items",
    "request_counts",
]
