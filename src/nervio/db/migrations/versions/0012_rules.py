"""The rules that watch a shop: how they are set, where they stand, what they tripped on; and what a product costs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "rules",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column(
            "settings",
            sa.Text(),
            nullable=False,
            comment="JSON of the rule's dataclass; a rule without a row has its defaults",
        ),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "rule", name=op.f("pk_rules")),
    )
    op.create_table(
        "rule_states",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="empty: the tenant itself"),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("quiet_at", sa.BigInteger(), nullable=False, comment="when a rule that has cleared may trip again"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="trips and clears so far; never falls"),
        sa.Column("trip_id", Id, nullable=False),
        sa.CheckConstraint("phase IN ('tripped', 'cooling')", name=op.f("ck_rule_states_phase")),
        sa.PrimaryKeyConstraint("tenant_id", "rule", "subject", name=op.f("pk_rule_states")),
    )
    op.create_index("ix_rule_states_phase", "rule_states", ["phase", "quiet_at"], unique=False)
    op.create_table(
        "rule_trips",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reach", sa.Text(), nullable=False),
        sa.Column("product_id", Id, nullable=True),
        sa.Column("location_id", Id, nullable=True),
        sa.Column("tripped_at", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="empty: the action is still to be carried out"),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("cleared_value", sa.BigInteger(), nullable=True),
        sa.Column("cleared_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_rule_trips")),
    )
    op.create_index("ix_rule_trips_tripped_at", "rule_trips", ["tenant_id", "tripped_at", "id"], unique=False)
    op.create_index("ix_rule_trips_rule", "rule_trips", ["tenant_id", "rule", "tripped_at", "id"], unique=False)
    op.create_index("ix_rule_trips_outcome", "rule_trips", ["outcome", "tripped_at"], unique=False)
    # Rules look at every level that has one, again and again; most have none.
    has_one = sa.text("critical_level IS NOT NULL")
    op.create_index(
        "ix_stock_levels_critical",
        "stock_levels",
        ["tenant_id", "location_id", "product_id"],
        unique=False,
        postgresql_where=has_one,
        sqlite_where=has_one,
    )
    op.add_column(
        "products",
        sa.Column("cost_minor", sa.BigInteger(), nullable=True, comment="of a unit, without tax; NULL: not known"),
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
