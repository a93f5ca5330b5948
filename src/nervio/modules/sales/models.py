"""Tables of sales; rows are only ever inserted."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from nervio.db.tables import Id, InstantColumn, metadata

tickets = Table(
    "tickets",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("number", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("original_id", Id, nullable=True),
    Column("location_id", Id, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("tax_included", Boolean, nullable=False),
    Column("net", BigInteger, nullable=False),
    Column("tax", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("effective_at", InstantColumn, nullable=False),
    Column("recorded_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "number"),
    ForeignKeyConstraint(["tenant_id", "location_id"], ["locations.tenant_id", "locations.id"]),
    ForeignKeyConstraint(["tenant_id", "original_id"], ["tickets.tenant_id", "tickets.id"]),
    CheckConstraint("kind IN ('sale', 'return')", name="kind"),
    CheckConstraint("net + tax = total AND total >= 0", name="sums"),
    Index("ix_tickets_original_id", "tenant_id", "original_id"),
    Index("ix_tickets_effective_at", "tenant_id", "effective_at"),
)

ticket_lines = Table(
    "ticket_lines",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("ticket_id", Id, nullable=False),
    Column("n", Integer, nullable=False),
    Column("original_n", Integer, nullable=True, comment="the line of the original ticket a return takes back"),
    Column("product_id", Id, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("tax_rate_bp", Integer, nullable=False),
    Column("tax", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "ticket_id", "n"),
    ForeignKeyConstraint(["tenant_id", "ticket_id"], ["tickets.tenant_id", "tickets.id"]),
    CheckConstraint("quantity > 0", name="quantity"),
    sqlite_with_rowid=False,
)

payments = Table(
    "payments",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("ticket_id", Id, nullable=False),
    Column("n", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "ticket_id", "n"),
    ForeignKeyConstraint(["tenant_id", "ticket_id"], ["tickets.tenant_id", "tickets.id"]),
    CheckConstraint("amount > 0", name="amount"),
    sqlite_with_rowid=False,
)
