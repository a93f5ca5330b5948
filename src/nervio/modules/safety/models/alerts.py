"""The tables of alerts."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from nervio.db.tables import Id, InstantColumn, metadata

alerts = Table(
    "alerts",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("severity", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("link", Text, nullable=False),
    Column("figures", Text, nullable=False, comment="JSON"),
    Column("dedup_key", Text, nullable=False),
    Column("occurrence", Integer, nullable=False, comment="how manieth alert with its key"),
    Column("count", Integer, nullable=False, comment="how often it was raised within its window"),
    Column("first_at", InstantColumn, nullable=False),
    Column("last_at", InstantColumn, nullable=False),
    Column("acknowledged_by", Text, nullable=True),
    Column("acknowledged_at", InstantColumn, nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    # Two processes that find the key free at once: the second to write decides again.
    UniqueConstraint("tenant_id", "dedup_key", "occurrence"),
    Index("ix_alerts_last_at", "tenant_id", "last_at", "id"),
)

alert_destinations = Table(
    "alert_destinations",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("settings", Text, nullable=False, comment="JSON, nothing secret"),
    Column("sealed", LargeBinary, nullable=False, comment="secrets, sealed by the vault"),
    Column("secret_names", Text, nullable=False, comment="JSON: which secrets are set"),
    Column("least_severity", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("deleted_at", InstantColumn, nullable=True, comment="history and journal still name it"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "name"),
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("alert_id", Id, nullable=False),
    Column("destination_id", Id, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False, comment="waiting, sent or failed"),
    Column("attempts", Integer, nullable=False),
    Column("next_at", InstantColumn, nullable=False),
    Column("claim_token", BigInteger, nullable=False),
    Column("claimed_until", InstantColumn, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("settled_at", InstantColumn, nullable=True),
    Column("words", Text, nullable=False, comment="the receiver's last words"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "alert_id"], ["alerts.tenant_id", "alerts.id"]),
    ForeignKeyConstraint(["tenant_id", "destination_id"], ["alert_destinations.tenant_id", "alert_destinations.id"]),
    Index("ix_alert_deliveries_alert", "tenant_id", "alert_id"),
    Index("ix_alert_deliveries_due", "settled_at", "next_at"),
)
