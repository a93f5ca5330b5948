"""Tables of the rules that watch a shop."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from nervio.db.tables import Id, InstantColumn, metadata

rules = Table(
    "rules",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("rule", Text, nullable=False),
    Column(
        "settings", Text, nullable=False, comment="JSON of the rule's dataclass; a rule without a row has its defaults"
    ),
    Column("revision", Integer, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "rule"),
)

rule_states = Table(
    "rule_states",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="empty: the tenant itself"),
    Column("phase", Text, nullable=False),
    Column("since", InstantColumn, nullable=False),
    Column("quiet_at", InstantColumn, nullable=False, comment="when a rule that has cleared may trip again"),
    Column("number", BigInteger, nullable=False, comment="trips and clears so far; never falls"),
    Column("trip_id", Id, nullable=False),
    PrimaryKeyConstraint("tenant_id", "rule", "subject"),
    CheckConstraint("phase IN ('tripped', 'cooling')", name="phase"),
    Index("ix_rule_states_phase", "phase", "quiet_at"),
)

rule_trips = Table(
    "rule_trips",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reach", Text, nullable=False),
    Column("product_id", Id, nullable=True),
    Column("location_id", Id, nullable=True),
    Column("tripped_at", InstantColumn, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("threshold", BigInteger, nullable=False),
    Column("figures", Text, nullable=False, comment="JSON"),
    Column("outcome", Text, nullable=False, comment="empty: the action is still to be carried out"),
    Column("cleared_at", InstantColumn, nullable=True),
    Column("cleared_value", BigInteger, nullable=True),
    Column("cleared_by", Text, nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("ix_rule_trips_tripped_at", "tenant_id", "tripped_at", "id"),
    Index("ix_rule_trips_rule", "tenant_id", "rule", "tripped_at", "id"),
    Index("ix_rule_trips_outcome", "outcome", "tripped_at"),
)
