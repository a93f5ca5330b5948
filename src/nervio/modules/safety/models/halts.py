"""Tables of the policy over stops. The halts themselves belong to the fence (`nervio.db.tables`)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from nervio.db.tables import Id, InstantColumn, metadata

# The nil tenant stands for the installation in all of these.
safety_policies = Table(
    "safety_policies",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("two_person_thaw", Boolean, nullable=False),
    Column("thaw_stage_seconds", Integer, nullable=False),
    Column("thaw_jitter_seconds", Integer, nullable=False),
    Column("confirm_within_seconds", Integer, nullable=False),
    Column("default_level", Text, nullable=False),
    Column("saved_by", Text, nullable=False),
    Column("saved_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id"),
    CheckConstraint("default_level IN ('reduce_only', 'read_only', 'all')", name="default_level"),
)

thaw_requests = Table(
    "thaw_requests",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False, comment="JSON: halts and stages, or the policy"),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", InstantColumn, nullable=False),
    Column("expires_at", InstantColumn, nullable=False),
    Column("outcome", Text, nullable=True, comment="NULL: open"),
    Column("settled_by", Text, nullable=True),
    Column("settled_at", InstantColumn, nullable=True),
    Column("note", Text, nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("kind IN ('thaw', 'policy')", name="kind"),
    Index("ix_thaw_requests_outcome", "outcome"),
)

# What each process has seen of the stops: who has acknowledged one, and who is missing.
halt_watchers = Table(
    "halt_watchers",
    metadata,
    Column("process_id", Id, primary_key=True),
    Column("halts", Text, nullable=False, comment="JSON: ids of the halts it holds for in force"),
    Column("seen_at", BigInteger, nullable=False),
)
