"""What callers prove themselves with: logins, sessions and keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Select, and_, select

from nervio.db.dialects import Dialect, dialect_of
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.identity.contracts import ApiKey
from nervio.modules.identity.models import api_keys, sessions, tenants, user_roles, users
from nervio.modules.identity.store.people import UserRow

_T = tenants.c
_U = users.c
_R = user_roles.c
_K = api_keys.c
_S = sessions.c

_KEY = (_K.id, _K.name, _K.prefix, _K.roles, _K.created_by, _K.created_at, _K.revoked_at)


@dataclass(frozen=True, slots=True)
class LoginRow:
    """A user an email may stand for."""

    tenant_id: str
    user_id: str
    name: str
    password_hash: str = field(repr=False)
    active: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """Whoever a session or a key stands for, as of now. For a key the session's fields are None."""

    tenant_id: str
    actor_id: str
    name: str
    roles: frozenset[str]
    valid: bool
    expires_at: Instant | None
    epoch: int | None


# -- before a tenant is known: hashes and emails are looked up in the whole installation ----------------------------


def find_logins(connection: Connection, email: str, slug: str | None) -> list[LoginRow]:
    """Up to two users with the email, in the tenant named or in any."""
    statement = select(_U.tenant_id, _U.id, _U.name, _U.password_hash, _U.active, _U.epoch).where(_U.email == email)
    if slug is not None:
        statement = statement.join_from(users, tenants, _T.id == _U.tenant_id).where(_T.slug == slug)
    return [LoginRow(*row) for row in connection.execute(statement.limit(2))]


def find_sessions(connection: Connection, ids: Collection[str]) -> dict[str, IdentityRow]:
    """session id → the user behind it, with the roles of this moment."""
    dialect = dialect_of(connection)
    rows = connection.execute(
        _sessions_by_id(dialect), dialect.rows_parameters("k", [_S.id], [(i,) for i in ids])
    ).all()
    roles: dict[str, set[str]] = {}
    for row in rows:
        roles.setdefault(row.id, set()).update([] if row.role is None else [row.role])
    return {
        row.id: IdentityRow(
            tenant_id=row.tenant_id,
            actor_id=row.user_id,
            name=row.name,
            roles=frozenset(roles[row.id]),
            valid=row.revoked_at is None and row.active and row.epoch == row.user_epoch,
            expires_at=row.expires_at,
            epoch=row.epoch,
        )
        for row in rows
    }


@cache
def _sessions_by_id(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_S.id])
    user_epoch = _U.epoch.label("user_epoch")
    return (
        select(
            _S.id,
            _S.tenant_id,
            _S.user_id,
            _S.expires_at,
            _S.revoked_at,
            _S.epoch,
            _U.name,
            _U.active,
            user_epoch,
            _R.role,
        )
        .join_from(k, sessions, _S.id == k.c.id)
        .join(users, and_(_U.tenant_id == _S.tenant_id, _U.id == _S.user_id))
        .outerjoin(user_roles, and_(_R.tenant_id == _S.tenant_id, _R.user_id == _S.user_id))
    )


def find_keys(connection: Connection, hashes: Collection[str]) -> dict[str, IdentityRow]:
    """hash of a key's secret → the key."""
    dialect = dialect_of(connection)
    parameters = dialect.rows_parameters("k", [_K.secret_hash], [(h,) for h in hashes])
    return {
        row.secret_hash: IdentityRow(
            tenant_id=row.tenant_id,
            actor_id=row.id,
            name=row.name,
            roles=frozenset(row.roles.split()),
            valid=row.revoked_at is None,
            expires_at=None,
            epoch=None,
        )
        for row in connection.execute(_keys_by_hash(dialect), parameters)
    }


@cache
def _keys_by_hash(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_K.secret_hash])
    return select(_K.secret_hash, _K.tenant_id, _K.id, _K.name, _K.roles, _K.revoked_at).join_from(
        k, api_keys, _K.secret_hash == k.c.secret_hash
    )


# -- keys and sessions of one tenant ---------------------------------------------------------------------------------


def list_keys(connection: TenantConnection, after: str | None, limit: int) -> list[ApiKey]:
    """Keys, revoked ones too, the oldest first, after the id given."""
    statement = select(*_KEY).where(_K.tenant_id == connection.tenant_id)
    if after is not None:
        statement = statement.where(_K.id > after)
    return [_key(row) for row in connection.execute(statement.order_by(_K.id).limit(limit))]


def find_key(connection: TenantConnection, key_id: str, lock: Dialect | None = None) -> ApiKey | None:
    """The key with the id; locked until the commit when a dialect is given."""
    if not is_id(key_id):
        return None
    statement = select(*_KEY).where(_K.tenant_id == connection.tenant_id, _K.id == key_id)
    row = connection.execute(statement if lock is None else lock.lock(statement, api_keys)).first()
    return None if row is None else _key(row)


def add_key(connection: TenantConnection, dialect: Dialect, key: ApiKey, secret_hash: str) -> bool:
    """Inserts a key; False when there is one with the same secret."""
    columns = ("tenant_id", "id", "name", "prefix", "secret_hash", "roles", "created_by", "created_at")
    values = (key.id, key.name, key.prefix, secret_hash, " ".join(key.roles), key.created_by, key.created_at)
    dialect.insert_missing(connection.untenanted(), Insert(api_keys, columns, [(connection.tenant_id, *values)]))
    return find_key(connection, key.id) is not None


def revoke_key(connection: TenantConnection, key_id: str, now: Instant) -> None:
    """Marks a key as revoked."""
    connection.execute(
        api_keys.update().where(_K.tenant_id == connection.tenant_id, _K.id == key_id).values(revoked_at=now)
    )


def _key(row: Any) -> ApiKey:
    return ApiKey(row[0], row[1], row[2], tuple(row[3].split()), *row[4:])


def add_session(
    connection: TenantConnection,
    dialect: Dialect,
    session_id: str,
    user: UserRow,
    now: Instant,
    expires_at: Instant,
) -> None:
    """Inserts a session and forgets those of the same user that have expired; the journal remembers them."""
    connection.execute(
        sessions.delete().where(_S.tenant_id == connection.tenant_id, _S.user_id == user.id, _S.expires_at <= now)
    )
    columns = ("tenant_id", "id", "user_id", "epoch", "created_at", "expires_at")
    row = (connection.tenant_id, session_id, user.id, user.epoch, now, expires_at)
    dialect.apply(connection.untenanted(), [Insert(sessions, columns, [row])])


def find_session(connection: TenantConnection, dialect: Dialect, session_id: str) -> Any:
    """(user_id, epoch, created_at, expires_at, revoked_at) of a session, locked; None without one."""
    columns: tuple[Column[Any], ...] = (_S.user_id, _S.epoch, _S.created_at, _S.expires_at, _S.revoked_at)
    statement = select(*columns).where(_S.tenant_id == connection.tenant_id, _S.id == session_id)
    return connection.execute(dialect.lock(statement, sessions)).first()


def change_session(connection: TenantConnection, session_id: str, **values: Instant) -> None:
    """Sets `expires_at` or `revoked_at` of a session."""
    connection.execute(
        sessions.update().where(_S.tenant_id == connection.tenant_id, _S.id == session_id).values(**values)
    )
