"""What AI work costs, what of that stands in the ledger, and the limits of each tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "fleet_costs",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="in UTC"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False, comment="that were done and had a cost"),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False, comment="millionths of the currency's unit"),
        sa.PrimaryKeyConstraint("tenant_id", "day", "kind", "currency", name=op.f("pk_fleet_costs")),
        sa.CheckConstraint("cost_micros >= 0", name=op.f("ck_fleet_costs_cost_micros")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fleet_meters",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False, comment="of all days"),
        sa.Column("posted", sa.BigInteger(), nullable=False, comment="of it in the ledger, in minor units"),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "currency", name=op.f("pk_fleet_meters")),
        sa.CheckConstraint("posted >= 0 AND cost_micros >= posted", name=op.f("ck_fleet_meters_posted")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fleet_limits",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("limits", sa.Text(), nullable=False, comment="JSON; {} for none"),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_fleet_limits")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")
