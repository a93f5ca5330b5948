"""Tables of drills: how each went, and the writes that prove it."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from nervio.db.tables import Id, InstantColumn, metadata

# The nil tenant stands for the installation.
drills = Table(
    "drills",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("module", Text, nullable=False, comment="empty: the whole shop or installation"),
    Column("outcome", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("started_at", InstantColumn, nullable=False),
    Column("finished_at", InstantColumn, nullable=True),
    Column("freeze_us", BigInteger, nullable=True, comment="from asking to the acknowledgement"),
    Column("everywhere_us", BigInteger, nullable=True, comment="from asking until every process held it"),
    Column("processes", Integer, nullable=True),
    Column("findings", Text, nullable=False, comment="JSON: what went wrong, as codes"),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("outcome IN ('running', 'passed', 'failed')", name="outcome"),
    Index("ix_drills_scope", "tenant_id", "module", "started_at"),
)

drill_probes = Table(
    "drill_probes",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("drill_id", Id, nullable=False),
    Column("phase", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("written_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "drill_id", "phase", "lane"),
)
