"""Tables of the catalog."""

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

products = Table(
    "products",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("search_text", Text, nullable=False, comment="name, SKU and barcodes, lower case, accents folded"),
    Column("category", Text, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("tax_rate_bp", Integer, nullable=False),
    Column("tracked", Boolean, nullable=False),
    Column("by_lot", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("updated_at", InstantColumn, nullable=False),
    Column("cost_minor", BigInteger, nullable=True, comment="of a unit, without tax; NULL: not known"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "sku"),
    CheckConstraint("price_minor >= 0", name="price"),
    CheckConstraint("tax_rate_bp BETWEEN 0 AND 10000", name="tax_rate"),
    Index("ix_products_name", "tenant_id", "name", "id"),
    Index("ix_products_price", "tenant_id", "price_minor", "id"),
)

barcodes = Table(
    "barcodes",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("code", Text, nullable=False),
    Column("product_id", Id, nullable=False),
    PrimaryKeyConstraint("tenant_id", "code"),
    ForeignKeyConstraint(["tenant_id", "product_id"], ["products.tenant_id", "products.id"]),
    Index("ix_barcodes_product", "tenant_id", "product_id"),
)

locations = Table(
    "locations",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("allow_negative", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "code"),
)
