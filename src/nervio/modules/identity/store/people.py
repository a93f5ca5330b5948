"""Tenants, which belong to the installation, and the users of one tenant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from nervio.db.dialects import Dialect, dialect_of
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.identity.contracts import Role, Tenant, User
from nervio.modules.identity.models import sessions, tenants, user_roles, users

_T = tenants.c
_U = users.c
_R = user_roles.c
_S = sessions.c

_TENANT = (_T.id, _T.slug, _T.name, _T.currency, _T.time_zone, _T.language, _T.created_at)

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


# -- tenants, which belong to the installation ----------------------------------------------------------------------


def find_tenant(connection: Connection, slug: str) -> Tenant | None:
    """The tenant with the slug."""
    return _one_tenant(connection, select(*_TENANT).where(_T.slug == slug))


def read_tenant(connection: Connection, tenant_id: str) -> Tenant | None:
    """The tenant with the id."""
    return _one_tenant(connection, select(*_TENANT).where(_T.id == tenant_id))


def find_time_zones(connection: Connection, tenant_ids: Collection[str]) -> dict[str, str]:
    """tenant id → its zone, of those that exist."""
    dialect = dialect_of(connection)
    parameters = dialect.rows_parameters("k", [_T.id], [(tenant_id,) for tenant_id in sorted(tenant_ids)])
    return {row[0]: row[1] for row in connection.execute(_time_zones(dialect), parameters)}


@cache
def _time_zones(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_T.id])
    return select(_T.id, _T.time_zone).join_from(k, tenants, _T.id == k.c.id)


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


def find_unused_login(connection: Connection) -> str | None:
    """The email of the oldest active superadmin, unless there is or was a session of anybody."""
    statement = (
        select(_U.email)
        .join_from(user_roles, users, and_(_U.tenant_id == _R.tenant_id, _U.id == _R.user_id))
        .where(_R.role == Role.SUPERADMIN.value, _U.active.is_(True), ~select(_S.id).exists())
        .order_by(_U.created_at, _U.id)
        .limit(1)
    )
    return connection.execute(statement).scalar()


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
