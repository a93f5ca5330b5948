"""The tables of sales."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    _create_tickets()
    _create_payments()
    _create_ticket_lines()


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")


def _create_tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("original_id", Id, nullable=True),
        sa.Column("location_id", Id, nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("tax_included", sa.Boolean(), nullable=False),
        sa.Column("net", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('sale', 'return')", name=op.f("ck_tickets_kind")),
        sa.CheckConstraint("net + tax = total AND total >= 0", name=op.f("ck_tickets_sums")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "location_id"],
            ["locations.tenant_id", "locations.id"],
            name=op.f("fk_tickets_tenant_id_location_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "original_id"],
            ["tickets.tenant_id", "tickets.id"],
            name=op.f("fk_tickets_tenant_id_original_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("tenant_id", "number", name=op.f("uq_tickets_tenant_id_number")),
    )
    op.create_index("ix_tickets_effective_at", "tickets", ["tenant_id", "effective_at"], unique=False)
    op.create_index("ix_tickets_original_id", "tickets", ["tenant_id", "original_id"], unique=False)


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("ticket_id", Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "ticket_id"],
            ["tickets.tenant_id", "tickets.id"],
            name=op.f("fk_payments_tenant_id_ticket_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "ticket_id", "n", name=op.f("pk_payments")),
        sqlite_with_rowid=False,
    )


def _create_ticket_lines() -> None:
    op.create_table(
        "ticket_lines",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("ticket_id", Id, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column(
            "original_n", sa.Integer(), nullable=True, comment="the line of the original ticket a return takes back"
        ),
        sa.Column("product_id", Id, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.Column("tax_rate_bp", sa.Integer(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_ticket_lines_quantity")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "ticket_id"],
            ["tickets.tenant_id", "tickets.id"],
            name=op.f("fk_ticket_lines_tenant_id_ticket_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "ticket_id", "n", name=op.f("pk_ticket_lines")),
        sqlite_with_rowid=False,
    )
