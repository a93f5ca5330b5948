"""The tables of the fleet. Tasks themselves are rows of the queue, which belongs to `nervio.db`."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from nervio.db.tables import Id, InstantColumn, metadata

fleet_attempts = Table(
    "fleet_attempts",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("task_id", Id, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("n", Integer, nullable=False, comment="how manieth try; handing back counts none"),
    Column("worker", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ending", Text, nullable=False),
    Column("error", Text, nullable=True),
    Column("submitted_at", InstantColumn, nullable=False),
    Column("started_at", InstantColumn, nullable=False),
    Column("ended_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "task_id", "token"),
    sqlite_with_rowid=False,
)

# Attempts end in the order of time, so this index grows at its end.
Index("ix_fleet_attempts_ended", fleet_attempts.c.tenant_id, fleet_attempts.c.ended_at, fleet_attempts.c.task_id)

# Errors are few, and somebody asks for the newest of them every few seconds.
_failed = fleet_attempts.c.error.is_not(None)
Index(
    "ix_fleet_attempts_errors",
    fleet_attempts.c.tenant_id,
    fleet_attempts.c.ended_at,
    postgresql_where=_failed,
    sqlite_where=_failed,
)

fleet_usage = Table(
    "fleet_usage",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("day", Text, nullable=False, comment="in UTC"),
    Column("kind", Text, nullable=False),
    Column("submitted", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("attempts_failed", BigInteger, nullable=False),
    Column("worked_ms", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "kind"),
    sqlite_with_rowid=False,
)

fleet_workers = Table(
    "fleet_workers",
    metadata,
    Column("id", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("owner", Text, nullable=False, comment="the process that it is connected to"),
    Column("status", Text, nullable=False),
    Column("profile", Text, nullable=False, comment="JSON: what it said of itself"),
    Column("transport", Text, nullable=False),
    Column("in_flight", Integer, nullable=False),
    Column("tasks_completed", BigInteger, nullable=False),
    Column("tasks_failed", BigInteger, nullable=False),
    Column("worked_ms", BigInteger, nullable=False, comment="on what it completed"),
    Column("first_seen", InstantColumn, nullable=False),
    Column("last_seen", InstantColumn, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("status IN ('idle', 'busy', 'gone')", name="status"),
    sqlite_with_rowid=False,
)

fleet_speeds = Table(
    "fleet_speeds",
    metadata,
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("worker", Text, nullable=False, comment="empty: of all workers"),
    Column("learnt", Text, nullable=False, comment="JSON: the line fitted, and its error"),
    PrimaryKeyConstraint("kind", "model", "worker"),
    sqlite_with_rowid=False,
)
