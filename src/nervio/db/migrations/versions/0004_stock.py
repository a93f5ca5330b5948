"""The tables of stock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    _create_stock_holds()
    _create_stock_levels()
    _create_stock_hold_lines()
    _create_stock_lots()


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")


def _create_stock_holds() -> None:
    op.create_table(
        "stock_holds",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("location_id", Id, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'claimed', 'released', 'expired', 'broken')", name=op.f("ck_stock_holds_state")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "location_id"],
            ["locations.tenant_id", "locations.id"],
            name=op.f("fk_stock_holds_tenant_id_location_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_stock_holds")),
    )
    op.create_index("ix_stock_holds_due", "stock_holds", ["state", "expires_at"], unique=False)


def _create_stock_levels() -> None:
    op.create_table(
        "stock_levels",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("location_id", Id, nullable=False),
        sa.Column("product_id", Id, nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column(
            "allow_negative",
            sa.Boolean(),
            nullable=False,
            comment="the location's policy, kept here for the constraint",
        ),
        sa.Column("critical_level", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("allow_negative OR on_hand >= reserved", name=op.f("ck_stock_levels_no_oversell")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_stock_levels_reserved")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "location_id"],
            ["locations.tenant_id", "locations.id"],
            name=op.f("fk_stock_levels_tenant_id_location_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_id"],
            ["products.tenant_id", "products.id"],
            name=op.f("fk_stock_levels_tenant_id_product_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "location_id", "product_id", name=op.f("pk_stock_levels")),
        postgresql_with={"fillfactor": 50},
        sqlite_with_rowid=False,
    )
    op.create_index("ix_stock_levels_product", "stock_levels", ["tenant_id", "product_id"], unique=False)


def _create_stock_hold_lines() -> None:
    op.create_table(
        "stock_hold_lines",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("hold_id", Id, nullable=False),
        sa.Column("product_id", Id, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_stock_hold_lines_quantity")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "hold_id"],
            ["stock_holds.tenant_id", "stock_holds.id"],
            name=op.f("fk_stock_hold_lines_tenant_id_hold_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "hold_id", "product_id", name=op.f("pk_stock_hold_lines")),
    )
    op.create_index("ix_stock_hold_lines_product", "stock_hold_lines", ["tenant_id", "product_id"], unique=False)


def _create_stock_lots() -> None:
    op.create_table(
        "stock_lots",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("location_id", Id, nullable=False),
        sa.Column("product_id", Id, nullable=False),
        sa.Column("lot", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Text(), nullable=True),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("on_hand >= 0", name=op.f("ck_stock_lots_on_hand")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "location_id", "product_id"],
            ["stock_levels.tenant_id", "stock_levels.location_id", "stock_levels.product_id"],
            name=op.f("fk_stock_lots_tenant_id_location_id_product_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "location_id", "product_id", "lot", name=op.f("pk_stock_lots")),
        sqlite_with_rowid=False,
    )
