"""Orders to advertising campaigns, and alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    _accounts()
    _orders()
    _alerts()


def _accounts() -> None:
    op.create_table(
        "ad_breakers",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("connection_id", Id, nullable=False),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="closed, open or half_open; anything else counts as open"
        ),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.BigInteger(), nullable=False, comment="from then on one attempt may try"),
        sa.Column("probe_until", sa.BigInteger(), nullable=False, comment="how long that attempt keeps others out"),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", name=op.f("pk_ad_breakers")),
    )
    op.create_table(
        "ad_connections",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False, comment="JSON, nothing secret"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="secrets, sealed by the vault"),
        sa.Column("secret_names", sa.Text(), nullable=False, comment="JSON: which secrets are set"),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_ad_connections")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_ad_connections_tenant_id_name")),
    )
    op.create_table(
        "ad_campaigns",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("connection_id", Id, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False, comment="the platform's own id"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("daily_budget", sa.BigInteger(), nullable=False, comment="minor units a day"),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="what the platform said last"),
        sa.Column("status_at", sa.BigInteger(), nullable=True),
        sa.Column("last_action_id", Id, nullable=True),
        sa.CheckConstraint("daily_budget >= 0", name=op.f("ck_ad_campaigns_daily_budget")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["ad_connections.tenant_id", "ad_connections.id"],
            name=op.f("fk_ad_campaigns_tenant_id_connection_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_ad_campaigns")),
        sa.UniqueConstraint(
            "tenant_id",
            "connection_id",
            "external_id",
            name=op.f("uq_ad_campaigns_tenant_id_connection_id_external_id"),
        ),
    )
    op.create_table(
        "ad_campaign_products",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("product_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["ad_campaigns.tenant_id", "ad_campaigns.id"],
            name=op.f("fk_ad_campaign_products_tenant_id_campaign_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "campaign_id", "product_id", name=op.f("pk_ad_campaign_products")),
    )
    op.create_index(
        "ix_ad_campaign_products_product", "ad_campaign_products", ["tenant_id", "product_id"], unique=False
    )
    op.create_table(
        "ad_holds",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["ad_campaigns.tenant_id", "ad_campaigns.id"],
            name=op.f("fk_ad_holds_tenant_id_campaign_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "campaign_id", "cause", name=op.f("pk_ad_holds")),
    )


def _orders() -> None:
    op.create_table(
        "ad_actions",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("campaign_id", Id, nullable=False),
        sa.Column("connection_id", Id, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False, comment="unconfirmed by then it is escalated"),
        sa.Column("confirm_after", sa.BigInteger(), nullable=False, comment="a reading from before proves nothing"),
        sa.Column("step", sa.Text(), nullable=False, comment="what it waits for: send or read"),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False, comment="counted before the request leaves"),
        sa.Column("readings", sa.Integer(), nullable=False, comment="since it was last sent"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="in a row without progress"),
        sa.Column("acknowledged", sa.Boolean(), nullable=False, comment="the platform said it took it"),
        sa.Column("refused", sa.Boolean(), nullable=False, comment="the platform said no"),
        sa.Column(
            "claim_token",
            sa.BigInteger(),
            nullable=False,
            comment="grows with every claim; an older one writes nothing",
        ),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("escalated_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False, comment="the platform's last words"),
        sa.CheckConstraint("kind IN ('pause', 'resume')", name=op.f("ck_ad_actions_kind")),
        sa.CheckConstraint(
            "state IN ('intent', 'sent', 'confirmed', 'escalated', 'failed', 'superseded')",
            name=op.f("ck_ad_actions_state"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "campaign_id"],
            ["ad_campaigns.tenant_id", "ad_campaigns.id"],
            name=op.f("fk_ad_actions_tenant_id_campaign_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_ad_actions")),
    )
    op.create_index("ix_ad_actions_campaign", "ad_actions", ["tenant_id", "campaign_id", "created_at"], unique=False)
    op.create_index("ix_ad_actions_due", "ad_actions", ["settled_at", "next_at"], unique=False)


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("dedup_key", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False, comment="how manieth alert with its key"),
        sa.Column("count", sa.Integer(), nullable=False, comment="how often it was raised within its window"),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_alerts")),
        sa.UniqueConstraint(
            "tenant_id", "dedup_key", "occurrence", name=op.f("uq_alerts_tenant_id_dedup_key_occurrence")
        ),
    )
    op.create_index("ix_alerts_last_at", "alerts", ["tenant_id", "last_at", "id"], unique=False)
    op.create_table(
        "alert_destinations",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False, comment="JSON, nothing secret"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="secrets, sealed by the vault"),
        sa.Column("secret_names", sa.Text(), nullable=False, comment="JSON: which secrets are set"),
        sa.Column("least_severity", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_alert_destinations")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_alert_destinations_tenant_id_name")),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("alert_id", Id, nullable=False),
        sa.Column("destination_id", Id, nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, sent or failed"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("claim_token", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False, comment="the receiver's last words"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "alert_id"],
            ["alerts.tenant_id", "alerts.id"],
            name=op.f("fk_alert_deliveries_tenant_id_alert_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "destination_id"],
            ["alert_destinations.tenant_id", "alert_destinations.id"],
            name=op.f("fk_alert_deliveries_tenant_id_destination_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_alert_deliveries")),
    )
    op.create_index("ix_alert_deliveries_alert", "alert_deliveries", ["tenant_id", "alert_id"], unique=False)
    op.create_index("ix_alert_deliveries_due", "alert_deliveries", ["settled_at", "next_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
