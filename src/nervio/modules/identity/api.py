"""The use cases of identity. A module or face that must know who is asking uses the `Authenticator`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

from nervio.db.batch import Batch, Command
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.kernel.errors import NervioError, conflict, forbidden, invalid, not_found
from nervio.kernel.ids import NIL
from nervio.modules.identity.contracts import (
    DEFAULT_TIME_ZONE,
    AddApiKey,
    AddTenant,
    AddUser,
    ApiKey,
    ApiKeyCreated,
    ChangePassword,
    ChangeUser,
    FirstLogin,
    LoggedIn,
    NewTenant,
    NewUser,
    Principal,
    PrincipalKind,
    Profile,
    RevokeApiKey,
    Role,
    Tenant,
    TenantCreated,
    User,
    UserChange,
    UserCreated,
)
from nervio.modules.identity.domain import check_email, check_name, check_password, check_roles, check_tenant
from nervio.modules.identity.store import credentials, people
from nervio.modules.identity.usecases import authentication, keys, tenants, users
from nervio.modules.identity.usecases.tokens import api_key_of, hash_secret, password_of
from nervio.modules.identity.usecases.users import SUPERADMINS_WRITE

Authenticator = authentication.Authenticator

LONGEST_PAGE = 500
SESSION_COOKIE = "nervio_session"
BOOTSTRAP_ACTOR = "bootstrap"

FIRST_TENANT = NewTenant(slug="main", name="Nervio", admin_email="admin@nervio.local", admin_name="Administrator")


# -- tenants ---------------------------------------------------------------------------------------------------------


async def bootstrap(
    database: Database, authenticator: Authenticator, first: NewTenant = FIRST_TENANT
) -> FirstLogin | None:
    """The first tenant and its superadmin with a generated password, returned this once; None when there is one already.

    A tenant of that slug without any superadmin (a demo shop loaded first) is given one. Works while stopped.
    """
    tenant = check_tenant(first)
    if tenant.admin_email is None:
        raise invalid("admin_email_missing", "The first tenant needs the email of its superadmin.", field="admin_email")
    if await database.read(people.has_superadmin):
        return None
    password = password_of(authenticator.tokens.draw(key=None))
    body = AddTenant(tenant, Role.SUPERADMIN.value, await authenticator.passwords.hash(password))
    try:
        added = await database.submit(Command(tenants.BOOTSTRAP, NIL, BOOTSTRAP_ACTOR, None, body))
    except NervioError as refusal:
        if refusal.code == "installed_already":  # by another process that started in the same moment
            return None
        raise
    assert added.admin_id is not None
    return FirstLogin(added.tenant, added.admin_id, tenant.admin_email, password)


async def find_unused_login(database: Database) -> str | None:
    """The first superadmin's email while nobody has ever logged in; None from the first login on."""
    return await database.read(people.find_unused_login)


async def create_tenant(
    ctx: Ctx, authenticator: Authenticator, given: NewTenant, key: str | None = None
) -> TenantCreated:
    """Creates a tenant and, when `admin_email` is given, its first administrator with a generated password.

    Raises `conflict` slug_taken, `invalid` naming the field.
    """
    ctx.require("identity.tenants.write")
    tenant = check_tenant(given)
    if tenant.admin_email is None:
        return TenantCreated((await ctx.submit(tenants.CREATE, AddTenant(tenant), key)).tenant)
    password = password_of(authenticator.tokens.draw("tenant", ctx.tenant_id, ctx.actor_id, tenant.slug, key=key))
    hashed = await authenticator.passwords.hash(password, _salt(ctx, "tenant", key))
    added = await ctx.submit(tenants.CREATE, AddTenant(tenant, admin_hash=hashed), key)
    return TenantCreated(added.tenant, added.admin_id, password)


async def list_tenants(ctx: Ctx, after: str | None = None, limit: int = 50) -> list[Tenant]:
    """Tenants of the installation by slug, after the slug given. For superadmins."""
    ctx.require("identity.tenants.read")
    return await ctx.read(lambda c: people.list_tenants(c.untenanted(), after, min(limit, LONGEST_PAGE)))


async def find_tenant(database: Database, slug: str) -> Tenant | None:
    """The tenant with the slug, for the program itself (CLI, demo): no caller's rights are asked."""
    if "\x00" in slug:
        return None
    return await database.read(lambda c: people.find_tenant(c, slug))


def find_time_zones(batch: Batch, tenant_ids: Collection[str]) -> dict[str, str]:
    """tenant id → the zone whose clocks hang in its shops; the default for a tenant that has not been recorded."""
    found = people.find_time_zones(batch.connection, tenant_ids)
    return {tenant_id: found.get(tenant_id, DEFAULT_TIME_ZONE) for tenant_id in tenant_ids}


async def get_current_tenant(ctx: Ctx) -> Tenant:
    """The caller's own tenant."""
    tenant = await ctx.read(lambda c: people.read_tenant(c.untenanted(), c.tenant_id))
    if tenant is None:
        raise not_found("tenant", ctx.tenant_id)
    return tenant


# -- users -----------------------------------------------------------------------------------------------------------


async def create_user(ctx: Ctx, authenticator: Authenticator, given: NewUser, key: str | None = None) -> UserCreated:
    """Creates a user; a password that is not given is generated and returned this once.

    Raises `conflict` email_taken, `forbidden` when only a superadmin may give the role, `invalid` naming the field.
    """
    ctx.require("identity.users.write")
    email, name = check_email(given.email, "email"), check_name(given.name, "name")
    roles = _check_given_roles(ctx, given.roles)
    if given.password is not None:
        check_password(given.password, email, "password")
    password = given.password
    if password is None:
        password = password_of(authenticator.tokens.draw("user", ctx.tenant_id, ctx.actor_id, email, key=key))
    hashed = await authenticator.passwords.hash(password, _salt(ctx, "user", key))
    user = await ctx.submit(users.CREATE, AddUser(email, name, roles, hashed), key)
    return UserCreated(user, password if given.password is None else None)


async def update_user(ctx: Ctx, user_id: str, change: UserChange, key: str | None = None) -> User:
    """Changes name, roles or state. Deactivating ends the user's sessions and tokens at once.

    Raises `conflict` last_superadmin or last_admin, `not_found`, `forbidden`, `invalid`.
    """
    ctx.require("identity.users.write")
    if change == UserChange():
        raise invalid("nothing_to_change", "Send at least one of name, roles and active.", field="name")
    checked = replace(
        change,
        name=None if change.name is None else check_name(change.name, "name"),
        roles=None if change.roles is None else check_roles(change.roles, "roles"),
    )
    return await ctx.submit(users.UPDATE, ChangeUser(user_id, checked, _is_superadmin(ctx)), key)


async def set_password(
    ctx: Ctx,
    authenticator: Authenticator,
    user_id: str,
    password: str | None = None,
    current: str | None = None,
    key: str | None = None,
    address: str | None = None,
) -> str | None:
    """Sets a password, ending the user's sessions and tokens at once. Without one it is generated and returned.

    Anybody may set their own by giving the `current` one; another's needs identity.users.write. Raises
    `unauthenticated` for a wrong current password, `not_found`, `forbidden`, `invalid`.
    """
    epoch = None
    is_own = ctx.permissions is not None and user_id == ctx.actor_id
    if not is_own:
        ctx.require("identity.users.write")
    user = await ctx.read(lambda c: people.find_user(c, user_id))
    if user is None:
        raise not_found("user", user_id)
    # Refused before the hash is paid for; the command looks again.
    if not is_own and Role.SUPERADMIN.value in user.roles:
        ctx.require(SUPERADMINS_WRITE)
    if password is not None:
        check_password(password, user.email, "password")
    if is_own:
        if current is None:
            raise invalid("current_password_missing", "Send your current password too.", field="current_password")
        epoch = await authenticator.check_own_password(ctx, current, address)
    chosen = password
    if chosen is None:
        chosen = password_of(authenticator.tokens.draw("password", ctx.tenant_id, ctx.actor_id, user_id, key=key))
    hashed = await authenticator.passwords.hash(chosen, _salt(ctx, "password", key))
    await ctx.submit(users.SET_PASSWORD, ChangePassword(user_id, hashed, _is_superadmin(ctx), epoch), key)
    return chosen if password is None else None


async def change_own_password(
    ctx: Ctx,
    authenticator: Authenticator,
    principal: Principal,
    current: str,
    password: str,
    address: str | None = None,
) -> LoggedIn:
    """Sets the principal's own password and opens a new session with it; every other session and token ends at once.

    Tries count as logins from the `address` do. Raises `unauthenticated` for a wrong current password, `too_many`,
    `invalid` naming the field, `conflict` no_session for an API key, which has no password.
    """
    if principal.kind is not PrincipalKind.USER:
        raise conflict("no_session", "An API key has no password; log in as a person.")
    if password == current:
        raise invalid("password_unchanged", "password is the one you have already; choose another.", field="password")
    await set_password(ctx, authenticator, principal.actor_id, password, current, address=address)
    user = await ctx.read(lambda c: people.find_user(c, principal.actor_id))
    assert user is not None
    tenant = await get_current_tenant(ctx)
    return await authenticator.log_in(user.email, password, tenant.slug, address)


async def list_users(ctx: Ctx, after: str | None = None, limit: int = 50) -> list[User]:
    """Users of the tenant by email, after the email given."""
    ctx.require("identity.users.read")
    return await ctx.read(lambda c: people.list_users(c, after, min(limit, LONGEST_PAGE)))


async def get_user(ctx: Ctx, user_id: str) -> User:
    """One user of the tenant. Raises `not_found`."""
    ctx.require("identity.users.read")
    user = await ctx.read(lambda c: people.find_user(c, user_id))
    if user is None:
        raise not_found("user", user_id)
    return user


async def get_profile(ctx: Ctx, principal: Principal) -> Profile:
    """The caller: who, with which rights, in which tenant."""
    tenant = await get_current_tenant(ctx)
    email = None
    if principal.kind is PrincipalKind.USER:
        user = await ctx.read(lambda c: people.find_user(c, principal.actor_id))
        email = None if user is None else user.email
    return Profile(
        id=principal.actor_id,
        kind=principal.kind,
        name=principal.name,
        email=email,
        roles=tuple(sorted(principal.roles)),
        permissions=tuple(sorted(ctx.permissions or ())),
        tenant=tenant,
    )


# -- API keys --------------------------------------------------------------------------------------------------------


async def create_api_key(
    ctx: Ctx, authenticator: Authenticator, name: str, roles: Sequence[str], key: str | None = None
) -> ApiKeyCreated:
    """Creates a key for a program; its secret is returned this once. Raises `forbidden`, `invalid`."""
    ctx.require("identity.keys.write")
    checked, given = check_name(name, "name"), _check_given_roles(ctx, roles)
    drawn = authenticator.tokens.draw("api-key", ctx.tenant_id, ctx.actor_id, checked, given, key=key)
    prefix, secret = api_key_of(drawn)
    made = await ctx.submit(keys.CREATE, AddApiKey(checked, given, prefix, hash_secret(secret)), key)
    return ApiKeyCreated(made, secret)


async def revoke_api_key(ctx: Ctx, key_id: str, key: str | None = None) -> ApiKey:
    """Revokes a key at once; revoking it again changes nothing. Raises `not_found`, `forbidden`."""
    ctx.require("identity.keys.write")
    return await ctx.submit(keys.REVOKE, RevokeApiKey(key_id, _is_superadmin(ctx)), key)


async def list_api_keys(ctx: Ctx, after: str | None = None, limit: int = 50) -> list[ApiKey]:
    """Keys of the tenant, the oldest first and revoked ones too, after the id given."""
    ctx.require("identity.keys.read")
    return await ctx.read(lambda c: credentials.list_keys(c, after, min(limit, LONGEST_PAGE)))


def is_token_of(token: str, principal: Principal) -> bool:
    """Whether a session token is the one of the principal's session."""
    return hash_secret(token) == principal.session_id


def _is_superadmin(ctx: Ctx) -> bool:
    return ctx.permissions is None or SUPERADMINS_WRITE in ctx.permissions


def _check_given_roles(ctx: Ctx, roles: Sequence[str]) -> tuple[str, ...]:
    checked = check_roles(roles, "roles")
    if Role.SUPERADMIN.value in checked and not _is_superadmin(ctx):
        raise forbidden(SUPERADMINS_WRITE)
    return checked


def _salt(ctx: Ctx, purpose: str, key: str | None) -> bytes | None:
    """Under an idempotency key a request sent twice must have the same body, so the hash in it the same salt. It is
    still a salt of its own for each request, which is all that a salt must be."""
    if key is None:
        return None
    return hashlib.sha256(f"{purpose}|{ctx.tenant_id}|{ctx.actor_id}|{key}".encode()).digest()[:16]
