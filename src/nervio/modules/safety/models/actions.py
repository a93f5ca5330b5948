"""The tables of external actions. Products are named by id only: the catalog stands above this module."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
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

ad_connections = Table(
    "ad_connections",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("name", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("settings", Text, nullable=False, comment="JSON, nothing secret"),
    Column("sealed", LargeBinary, nullable=False, comment="secrets, sealed by the vault"),
    Column("secret_names", Text, nullable=False, comment="JSON: which secrets are set"),
    Column("active", Boolean, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    Column("deleted_at", InstantColumn, nullable=True, comment="history and journal still name it"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "name"),
)

# A row that is not there counts as open: a table that was emptied must not let anything be resumed.
ad_breakers = Table(
    "ad_breakers",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("connection_id", Id, nullable=False),
    Column("state", Text, nullable=False, comment="closed, open or half_open; anything else counts as open"),
    Column("failures", Integer, nullable=False),
    Column("open_until", InstantColumn, nullable=False, comment="from then on one attempt may try"),
    Column("probe_until", InstantColumn, nullable=False, comment="how long that attempt keeps others out"),
    PrimaryKeyConstraint("tenant_id", "connection_id"),
)

ad_campaigns = Table(
    "ad_campaigns",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("connection_id", Id, nullable=False),
    Column("external_id", Text, nullable=False, comment="the platform's own id"),
    Column("name", Text, nullable=False),
    Column("daily_budget", BigInteger, nullable=False, comment="minor units a day"),
    Column("currency", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("status", Text, nullable=False, comment="what the platform said last"),
    Column("status_at", InstantColumn, nullable=True),
    Column("last_action_id", Id, nullable=True),
    Column("deleted_at", InstantColumn, nullable=True, comment="history and journal still name it"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "connection_id", "external_id"),
    ForeignKeyConstraint(["tenant_id", "connection_id"], ["ad_connections.tenant_id", "ad_connections.id"]),
    CheckConstraint("daily_budget >= 0", name="daily_budget"),
)

ad_campaign_products = Table(
    "ad_campaign_products",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("campaign_id", Id, nullable=False),
    Column("product_id", Id, nullable=False),
    PrimaryKeyConstraint("tenant_id", "campaign_id", "product_id"),
    ForeignKeyConstraint(["tenant_id", "campaign_id"], ["ad_campaigns.tenant_id", "ad_campaigns.id"]),
    Index("ix_ad_campaign_products_product", "tenant_id", "product_id"),
)

# Why a campaign stands still. It is resumed only when the last cause has let go, or by a person.
ad_holds = Table(
    "ad_holds",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("campaign_id", Id, nullable=False),
    Column("cause", Text, nullable=False),
    Column("since", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "campaign_id", "cause"),
    ForeignKeyConstraint(["tenant_id", "campaign_id"], ["ad_campaigns.tenant_id", "ad_campaigns.id"]),
)

ad_actions = Table(
    "ad_actions",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("campaign_id", Id, nullable=False),
    Column("connection_id", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("deadline_at", InstantColumn, nullable=False, comment="unconfirmed by then it is escalated"),
    Column("confirm_after", InstantColumn, nullable=False, comment="a reading from before proves nothing"),
    Column("step", Text, nullable=False, comment="what it waits for: send or read"),
    Column("next_at", InstantColumn, nullable=False),
    Column("sends", Integer, nullable=False, comment="counted before the request leaves"),
    Column("readings", Integer, nullable=False, comment="since it was last sent"),
    Column("attempts", Integer, nullable=False, comment="in a row without progress"),
    Column("acknowledged", Boolean, nullable=False, comment="the platform said it took it"),
    Column("refused", Boolean, nullable=False, comment="the platform said no"),
    Column("claim_token", BigInteger, nullable=False, comment="grows with every claim; an older one writes nothing"),
    Column("claimed_by", Text, nullable=True),
    Column("claimed_until", InstantColumn, nullable=False),
    Column(
        "landing_until",
        InstantColumn,
        nullable=False,
        server_default="0",
        comment="until then a request of it that nobody heard of again may still arrive",
    ),
    Column("sent_at", InstantColumn, nullable=True),
    Column("confirmed_at", InstantColumn, nullable=True),
    Column("escalated_at", InstantColumn, nullable=True),
    Column("settled_at", InstantColumn, nullable=True),
    Column("words", Text, nullable=False, comment="the platform's last words"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "campaign_id"], ["ad_campaigns.tenant_id", "ad_campaigns.id"]),
    CheckConstraint("kind IN ('pause', 'resume')", name="kind"),
    CheckConstraint(
        "state IN ('intent', 'sent', 'confirmed', 'escalated', 'failed', 'superseded')",
        name="state",
    ),
    Index("ix_ad_actions_campaign", "tenant_id", "campaign_id", "created_at"),
    Index("ix_ad_actions_due", "settled_at", "next_at"),
)
