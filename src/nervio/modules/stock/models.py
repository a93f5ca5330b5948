"""Tables of stock. Levels and lots are counters guarded by constraints; movements live in the journal."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from nervio.db.tables import Id, InstantColumn, metadata

stock_levels = Table(
    "stock_levels",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("location_id", Id, nullable=False),
    Column("product_id", Id, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("allow_negative", Boolean, nullable=False, comment="the location's policy, kept here for the constraint"),
    Column("critical_level", BigInteger, nullable=True),
    PrimaryKeyConstraint("tenant_id", "location_id", "product_id"),
    ForeignKeyConstraint(["tenant_id", "location_id"], ["locations.tenant_id", "locations.id"]),
    ForeignKeyConstraint(["tenant_id", "product_id"], ["products.tenant_id", "products.id"]),
    # The second line behind the books: whatever code there is, the database refuses to oversell.
    CheckConstraint("reserved >= 0", name="reserved"),
    CheckConstraint("allow_negative OR on_hand >= reserved", name="no_oversell"),
    Index("ix_stock_levels_product", "tenant_id", "product_id"),
    # Room on each page for HOT updates: levels are the only rows that change often.
    postgresql_with={"fillfactor": 50},
    sqlite_with_rowid=False,
)

_has_critical_level = stock_levels.c.critical_level.is_not(None)
# Rules look at every level that has one, again and again; most have none. No column of it changes with a sale, so that
# updates of a level stay cheap.
Index(
    "ix_stock_levels_critical",
    stock_levels.c.tenant_id,
    stock_levels.c.location_id,
    stock_levels.c.product_id,
    postgresql_where=_has_critical_level,
    sqlite_where=_has_critical_level,
)

stock_lots = Table(
    "stock_lots",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("location_id", Id, nullable=False),
    Column("product_id", Id, nullable=False),
    Column("lot", Text, nullable=False),
    Column("expires_on", Text, nullable=True),
    Column("on_hand", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "location_id", "product_id", "lot"),
    ForeignKeyConstraint(
        ["tenant_id", "location_id", "product_id"],
        ["stock_levels.tenant_id", "stock_levels.location_id", "stock_levels.product_id"],
    ),
    CheckConstraint("on_hand >= 0", name="on_hand"),
    sqlite_with_rowid=False,
)

stock_holds = Table(
    "stock_holds",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("location_id", Id, nullable=False),
    Column("state", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("expires_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "location_id"], ["locations.tenant_id", "locations.id"]),
    CheckConstraint("state IN ('active', 'claimed', 'released', 'expired', 'broken')", name="state"),
    Index("ix_stock_holds_due", "state", "expires_at"),
)

stock_hold_lines = Table(
    "stock_hold_lines",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("hold_id", Id, nullable=False),
    Column("product_id", Id, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "hold_id", "product_id"),
    ForeignKeyConstraint(["tenant_id", "hold_id"], ["stock_holds.tenant_id", "stock_holds.id"]),
    CheckConstraint("quantity > 0", name="quantity"),
    Index("ix_stock_hold_lines_product", "tenant_id", "product_id"),
)
