"""Tables of identity. Secrets are stored as hashes only: passwords as Argon2id, keys and session tokens as SHA-256."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
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

tenants = Table(
    "tenants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("email", Text, nullable=False, comment="lower case"),
    Column("name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False, comment="grows when older sessions and tokens must end"),
    Column("created_at", InstantColumn, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "email"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    # A login that names no tenant looks an email up in the whole installation.
    Index("ix_users_email", "email"),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("role", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "user_id", "role"),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
    Index("ix_user_roles_role", "role"),
    sqlite_with_rowid=False,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    # Unique on its own: the hash is all that is known of a caller before the row is found.
    Column("secret_hash", Text, nullable=False, unique=True, comment="SHA-256, hexadecimal"),
    Column("roles", Text, nullable=False, comment="names with a space between them"),
    Column("created_by", Text, nullable=False),
    Column("created_at", InstantColumn, nullable=False),
    Column("revoked_at", InstantColumn, nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

sessions = Table(
    "sessions",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("id", Text, nullable=False, unique=True, comment="SHA-256 of the session token, hexadecimal"),
    Column("user_id", Id, nullable=False),
    Column("epoch", Integer, nullable=False, comment="the user's when the session was opened"),
    Column("created_at", InstantColumn, nullable=False),
    Column("expires_at", InstantColumn, nullable=False),
    Column("revoked_at", InstantColumn, nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
    Index("ix_sessions_user", "tenant_id", "user_id", "created_at"),
)

login_windows = Table(
    "login_windows",
    metadata,
    # Of no tenant: whoever tries to log in has not said truthfully who they are yet.
    Column("name", Text, primary_key=True, comment="SHA-256 of what is counted, hexadecimal"),
    Column("attempts", Text, nullable=False, comment="JSON: instants, the oldest first"),
    Column("expires_at", InstantColumn, nullable=False),
    Index("ix_login_windows_expires_at", "expires_at"),
)
