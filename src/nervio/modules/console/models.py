"""The console's one table: what people set up for themselves, kept here because they change from till to till."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, PrimaryKeyConstraint, Table, Text

from nervio.db.tables import Id, metadata

saved_views = Table(
    "saved_views",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("list", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False, comment="what stands behind the question mark of the address"),
    PrimaryKeyConstraint("tenant_id", "user_id", "list", "name"),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
    sqlite_with_rowid=False,
)
