"""The console's tables: what people set up for themselves, kept here because they change from till to till."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, LargeBinary, PrimaryKeyConstraint, Table, Text

from nervio.db.tables import Id, InstantColumn, metadata

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

import_drafts = Table(
    "import_drafts",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("content", LargeBinary, nullable=False, comment="the text of the file, UTF-8, deflated"),
    Column("created_at", InstantColumn, nullable=False),
    # One a person: the next file takes the place of the last.
    PrimaryKeyConstraint("tenant_id", "user_id"),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
)
