"""Tenants, users, keys and principals as other modules and the runtime see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nervio.kernel.time import Instant

DEFAULT_TIME_ZONE = "America/Argentina/Buenos_Aires"


class Role(StrEnum):
    """What a person or a key is there for; what a role may do is declared by each module's manifest."""

    SUPERADMIN = "superadmin"
    """Holds every permission. Belongs to one tenant, but may stop the installation and create tenants."""
    ADMIN = "admin"
    DEPOSITO = "deposito"
    NEGOCIO = "negocio"
    ML_SERVICE = "ml_service"
    CASHIER = "cashier"


class PrincipalKind(StrEnum):
    """What stands behind a request."""

    USER = "user"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request. `session_id` and `expires_at` are None for an API key, which lives until it is revoked."""

    tenant_id: str
    actor_id: str
    roles: frozenset[str]
    name: str
    kind: PrincipalKind
    session_id: str | None = None
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """A business in this installation."""

    id: str
    slug: str
    name: str
    currency: str
    time_zone: str
    language: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant to create. With `admin_email` its first administrator is created too."""

    slug: str
    name: str
    currency: str = "ARS"
    time_zone: str = DEFAULT_TIME_ZONE
    language: str = "es"
    admin_email: str | None = None
    admin_name: str | None = None


@dataclass(frozen=True, slots=True)
class TenantCreated:
    """The tenant; `admin_password` was generated and is never shown again."""

    tenant: Tenant
    admin_id: str | None = None
    admin_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class User:
    """A person who may log in."""

    id: str
    email: str
    name: str
    roles: tuple[str, ...]
    active: bool
    created_at: Instant
    last_login_at: Instant | None


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to create. Without a password one is generated."""

    email: str
    name: str
    roles: tuple[str, ...]
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class UserCreated:
    """The user; `password` only when it was generated, and then never shown again."""

    user: User
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class UserChange:
    """What to change of a user; None leaves a field as it is."""

    name: str | None = None
    roles: tuple[str, ...] | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key for a program. `prefix` is the part people recognise it by."""

    id: str
    name: str
    prefix: str
    roles: tuple[str, ...]
    created_by: str
    created_at: Instant
    revoked_at: Instant | None


@dataclass(frozen=True, slots=True)
class ApiKeyCreated:
    """The key; `secret` is what the program sends and is never shown again."""

    key: ApiKey
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """The caller as itself and others see it."""

    id: str
    kind: PrincipalKind
    name: str
    email: str | None
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """An open session: its token for a cookie, and a JWT for the Authorization header. Both end together."""

    principal: Principal
    session_token: str = field(repr=False)
    access_token: str = field(repr=False)
    expires_at: Instant = 0


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A session that lasts longer, and a new JWT for it."""

    principal: Principal
    access_token: str = field(repr=False)
    expires_at: Instant = 0


@dataclass(frozen=True, slots=True)
class FirstLogin:
    """What the first start prints once: how the superadmin gets in."""

    tenant: Tenant
    user_id: str
    email: str
    password: str = field(repr=False)


# -- bodies of commands: checked, secrets only as hashes -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddTenant:
    """A tenant, and its first user when `admin_hash` is given."""

    tenant: NewTenant
    admin_role: str = Role.ADMIN.value
    admin_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TenantAdded:
    """The tenant, and whether its first user was made by this command."""

    tenant: Tenant
    admin_id: str | None


@dataclass(frozen=True, slots=True)
class AddUser:
    """A user with the hash of the password."""

    email: str
    name: str
    roles: tuple[str, ...]
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """A change of one user."""

    user_id: str
    change: UserChange
    by_superadmin: bool


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """A new password; `epoch` is set when the old one was checked, and must still be the user's."""

    user_id: str
    password_hash: str = field(repr=False)
    by_superadmin: bool = False
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class AddApiKey:
    """A key with the SHA-256 of its secret in hexadecimal."""

    name: str
    roles: tuple[str, ...]
    prefix: str
    secret_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RevokeApiKey:
    """A key to revoke."""

    key_id: str
    by_superadmin: bool


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session to open, or with `refresh` to keep open, for a user whose credentials were checked at `epoch`."""

    session_id: str
    user_id: str
    epoch: int
    lifetime_seconds: int
    longest_seconds: int
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """When the session ends."""

    expires_at: Instant


@dataclass(frozen=True, slots=True)
class CloseSession:
    """A session to revoke."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to say but that it is so."""

    id: str
