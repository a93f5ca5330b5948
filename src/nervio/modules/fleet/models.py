"""The tables of the fleet. Tasks themselves are rows of the queue, which belongs to `nervio.db`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

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
    Column("cached", BigInteger, nullable=False, server_default="0", comment="done with the answer to an equal task"),
    Column("saved_input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("saved_output_tokens", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("tenant_id", "day", "kind"),
    sqlite_with_rowid=False,
)

fleet_costs = Table(
    "fleet_costs",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("day", Text, nullable=False, comment="in UTC"),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("tasks", BigInteger, nullable=False, comment="that were done and had a cost"),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False, comment="millionths of the currency's unit"),
    Column("saved_micros", BigInteger, nullable=False, server_default="0", comment="what answers would have cost anew"),
    PrimaryKeyConstraint("tenant_id", "day", "kind", "currency"),
    CheckConstraint("cost_micros >= 0", name="cost_micros"),
    sqlite_with_rowid=False,
)

# The ledger has whole minor units; what does not fill one yet waits here for more.
fleet_meters = Table(
    "fleet_meters",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("cost_micros", BigInteger, nullable=False, comment="of all days"),
    Column("posted", BigInteger, nullable=False, comment="of it in the ledger, in minor units"),
    PrimaryKeyConstraint("tenant_id", "kind", "currency"),
    CheckConstraint("posted >= 0 AND cost_micros >= posted", name="posted"),
    sqlite_with_rowid=False,
)

# Whoever decides about a tenant's limits holds its row.
fleet_limits = Table(
    "fleet_limits",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("limits", Text, nullable=False, comment="JSON; {} for none"),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id"),
    sqlite_with_rowid=False,
)

fleet_answers = Table(
    "fleet_answers",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("digest", Text, nullable=False, comment="SHA-256 of kind, model and payload"),
    Column("task_id", Id, nullable=True, comment="who brings it, or brought it; none: nobody any more"),
    Column("priority", SmallInteger, nullable=False, comment="of that task"),
    Column("result", Text, nullable=True, comment="JSON"),
    Column("usage", Text, nullable=True, comment="JSON: what it cost"),
    Column("answered_at", InstantColumn, nullable=True),
    Column("expires_at", InstantColumn, nullable=True),
    PrimaryKeyConstraint("tenant_id", "digest"),
    Column("awaited", Integer, nullable=False, comment="tasks that wait for it"),
    CheckConstraint("(answered_at IS NULL) = (result IS NULL)", name="answered"),
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
