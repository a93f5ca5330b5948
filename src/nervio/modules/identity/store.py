"""Every query of identity."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Select, and_, func, or_, select

from nervio.db.dialects import Dialect, dialect_of
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.identity.contracts import ApiKey, Role, Tenant, User
from nervio.modules.identity.models import api_keys, sessions, tenants, user_roles, users

_T = tenants.c
_U = users.c
_R = user_roles.c
_K = api_keys.c
_S = sessions.c

_TENANT = (_T.id, _T.slug, _T.name, _T.currency, _T.time_zone, _T.language, _T.created_at)
_KEY = (_K.id, _K.name, _K.prefix, _K.roles, _K.created_by, _K.created_at, _K.revoked_at)

ADMINISTRATORS = (Role.ADMIN.value, Role.SUPERADMIN.value)


@dataclass(frozen=True, slots=True)
class UserRow:
    """What deciding about a user needs."""

    id: str
    email: str
    name: str
    password_hash: str = field(repr=False)
    active: bool
    epoch: int
    created_at: Instant
    roles: tuple[str, ...] = ()


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


# -- tenants, which belong to the installation ----------------------------------------------------------------------


def find_tenant(connection: Connection, slug: str) -> Tenant | None:
    """The tenant with the slug."""
    return _one_tenant(connection, select(*_TENANT).where(_T.slug == slug))


def read_tenant(connection: Connection, tenant_id: str) -> Tenant | None:
    """The tenant with the id."""
    return _one_tenant(connection, select(*_TENANT).where(_T.id == tenant_id))


def lock_tenant(connection: Connection, dialect: Dialect, slug: str) -> Tenant:
    """The tenant with the slug, which exists, locked until the commit."""
    found = _one_tenant(connection, dialect.lock(select(*_TENANT).where(_T.slug == slug), tenants))
    assert found is not None, slug
    return found


def list_tenants(connection: Connection, after: str | None, limit: int) -> list[Tenant]:
    """Tenants by slug, after the one given."""
    statement = select(*_TENANT)
    if after is not None:
        statement = statement.where(_T.slug > after)
    return [Tenant(*row) for row in connection.execute(statement.order_by(_T.slug).limit(limit))]


def add_tenant(connection: Connection, dialect: Dialect, tenant: Tenant) -> None:
    """Inserts the tenant unless its slug is taken."""
    columns = ("id", "slug", "name", "currency", "time_zone", "language", "created_at")
    dialect.insert_missing(connection, Insert(tenants, columns, [tuple(getattr(tenant, c) for c in columns)]))


def has_superadmin(connection: Connection) -> bool:
    """Whether anybody in the installation is an active superadmin."""
    statement = (
        select(_U.id)
        .join_from(user_roles, users, and_(_U.tenant_id == _R.tenant_id, _U.id == _R.user_id))
        .where(_R.role == Role.SUPERADMIN.value, _U.active.is_(True))
        .limit(1)
    )
    return connection.execute(statement).first() is not None


def lock_administrators(connection: Connection, dialect: Dialect, tenant_id: str) -> None:
    """Locks every superadmin, and every administrator of the tenant, in key order: whoever takes one's power away must
    wait for whoever is taking another's, and then count again."""
    wanted = or_(_R.role == Role.SUPERADMIN.value, and_(_R.role == Role.ADMIN.value, _R.tenant_id == tenant_id))
    statement = (
        select(_U.id)
        .join_from(user_roles, users, and_(_U.tenant_id == _R.tenant_id, _U.id == _R.user_id))
        .where(wanted)
        .order_by(_U.tenant_id, _U.id)
    )
    connection.execute(dialect.lock(statement, users)).all()


def _one_tenant(connection: Connection, statement: Select[Any]) -> Tenant | None:
    row = connection.execute(statement).first()
    return None if row is None else Tenant(*row)


# -- users of one tenant ---------------------------------------------------------------------------------------------


def list_users(connection: TenantConnection, after: str | None, limit: int) -> list[User]:
    """Users by email, after the one given."""
    statement = _users(connection)
    if after is not None:
        statement = statement.where(_U.email > after)
    return _with_roles(connection, connection.execute(statement.order_by(_U.email).limit(limit)).all())


def find_user(connection: TenantConnection, user_id: str) -> User | None:
    """The user with the id."""
    if not is_id(user_id):
        return None
    found = _with_roles(connection, connection.execute(_users(connection).where(_U.id == user_id)).all())
    return found[0] if found else None


def find_user_row(connection: TenantConnection, user_id: str, lock: Dialect | None = None) -> UserRow | None:
    """The user with what is kept secret; locked until the commit when a dialect is given."""
    if not is_id(user_id):
        return None
    statement = select(_U.id, _U.email, _U.name, _U.password_hash, _U.active, _U.epoch, _U.created_at).where(
        _U.tenant_id == connection.tenant_id, _U.id == user_id
    )
    if lock is not None:
        statement = lock.lock(statement, users)
    row = connection.execute(statement).first()
    if row is None:
        return None
    # Roles in a statement of their own: one that waited for the lock still saw the roles from before.
    roles = _roles_of(connection, [user_id]).get(user_id, ())
    return UserRow(row[0], row[1], row[2], row[3], row[4], row[5], row[6], roles)


def count_administrators(connection: TenantConnection, except_id: str) -> tuple[int, int]:
    """Active users other than the one given: (administrators of the tenant, superadmins of the installation)."""
    joined = (
        select(func.count(_U.id.distinct()))
        .join_from(user_roles, users, and_(_U.tenant_id == _R.tenant_id, _U.id == _R.user_id))
        .where(_U.active.is_(True), _U.id != except_id)
    )
    local = joined.where(_U.tenant_id == connection.tenant_id, _R.role.in_(ADMINISTRATORS))
    # Superadmins are counted in every tenant: any one of them can mend the installation.
    superadmins = joined.where(_R.role == Role.SUPERADMIN.value)
    return (
        int(connection.execute(local).scalar_one()),
        int(connection.untenanted().execute(superadmins).scalar_one()),
    )


def add_user(connection: TenantConnection, dialect: Dialect, user: UserRow) -> bool:
    """Inserts the user with roles; False when the email is taken in the tenant."""
    columns = ("id", "email", "name", "password_hash", "active", "epoch", "created_at")
    row = (connection.tenant_id, *(getattr(user, c) for c in columns))
    dialect.insert_missing(connection.untenanted(), Insert(users, ("tenant_id", *columns), [row]))
    owner = connection.execute(
        select(_U.id).where(_U.tenant_id == connection.tenant_id, _U.email == user.email)
    ).scalar_one()
    if owner != user.id:
        return False
    _add_roles(connection, dialect, user.id, user.roles)
    return True


def change_user(connection: TenantConnection, dialect: Dialect, user: UserRow) -> None:
    """Writes name, password, state and roles of a user that exists."""
    connection.execute(
        users.update()
        .where(_U.tenant_id == connection.tenant_id, _U.id == user.id)
        .values(name=user.name, password_hash=user.password_hash, active=user.active, epoch=user.epoch)
    )
    connection.execute(user_roles.delete().where(_R.tenant_id == connection.tenant_id, _R.user_id == user.id))
    _add_roles(connection, dialect, user.id, user.roles)


def _add_roles(connection: TenantConnection, dialect: Dialect, user_id: str, roles: Sequence[str]) -> None:
    rows = [(connection.tenant_id, user_id, role) for role in roles]
    dialect.insert_missing(connection.untenanted(), Insert(user_roles, ("tenant_id", "user_id", "role"), rows))


def _users(connection: TenantConnection) -> Select[Any]:
    last_login = (
        select(func.max(_S.created_at))
        .where(_S.tenant_id == connection.tenant_id, _S.user_id == _U.id)
        .scalar_subquery()
        .label("last_login_at")
    )
    return select(_U.id, _U.email, _U.name, _U.active, _U.created_at, last_login).where(
        _U.tenant_id == connection.tenant_id
    )


def _with_roles(connection: TenantConnection, rows: Sequence[Any]) -> list[User]:
    roles = _roles_of(connection, [row.id for row in rows])
    return [
        User(row.id, row.email, row.name, roles.get(row.id, ()), row.active, row.created_at, row.last_login_at)
        for row in rows
    ]


def _roles_of(connection: TenantConnection, user_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(
        select(_R.user_id, _R.role)
        .where(_R.tenant_id == connection.tenant_id, _R.user_id.in_(user_ids))
        .order_by(_R.role)
    ):
        found[row.user_id] = (*found.get(row.user_id, ()), row.role)
    return found


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
