"""An installation of its own for a test: a database, its superadmin, and the authenticator of its one process."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.modules.identity import api
from nervio.modules.identity.contracts import FirstLogin, LoggedIn, NewTenant, NewUser, Tenant, User
from nervio.modules.identity.module import MANIFEST
from nervio.modules.identity.settings import IdentitySettings
from nervio.modules.ledger import api as ledger
from tests.builders import SetClock

JWT_KEY = "a key of thirty-two bytes or more, for tests"
PASSWORD = "correct horse battery"
PERMISSIONS = {
    **MANIFEST.permissions,
    "ledger.read": frozenset({"superadmin", "admin"}),
    "stock.write": frozenset({"admin", "deposito"}),
    "safety.stop_installation": frozenset({"superadmin"}),
}

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class House:
    """A freshly installed Nervio. `root` is the superadmin's context."""

    database: Database
    clock: SetClock
    authenticator: api.Authenticator
    first: FirstLogin
    root: Ctx

    async def a_tenant(self, slug: str | None = None) -> tuple[Tenant, Ctx]:
        """A further tenant and the context of its administrator."""
        name = slug or f"shop-{next(_numbers)}"
        given = NewTenant(name, name.title(), admin_email=f"admin@{name}.test", admin_name="Admin")
        made = await api.create_tenant(self.root, self.authenticator, given)
        assert made.admin_id is not None
        permissions = self.authenticator.permissions_of(frozenset({"admin"}))
        return made.tenant, Ctx(made.tenant.id, made.admin_id, self.database, self.clock, permissions)

    async def a_user(self, ctx: Ctx, email: str | None = None, *, roles: tuple[str, ...] = ("cashier",)) -> User:
        """A user with the password that all users of tests have."""
        given = NewUser(email or f"user{next(_numbers)}@example.test", "Some User", roles, PASSWORD)
        return (await api.create_user(ctx, self.authenticator, given)).user

    async def logged_in(self, user: User, tenant: str | None = None) -> LoggedIn:
        """A session of such a user."""
        return await self.authenticator.log_in(user.email, PASSWORD, tenant)

    def of(self, opened: LoggedIn) -> Ctx:
        """The context of a session."""
        return self.authenticator.context(opened.principal)

    async def kinds(self, ctx: Ctx) -> list[str]:
        """What the tenant's journal says happened, the oldest first."""
        program = Ctx(ctx.tenant_id, "tester", self.database, self.clock)
        return [entry.kind for entry in reversed(await ledger.list_entries(program, limit=500))]


@asynccontextmanager
async def a_house(database: Database, clock: SetClock, **settings: int) -> AsyncIterator[House]:
    """Installs Nervio in an empty database."""
    authenticator = api.Authenticator(database, clock, IdentitySettings(**settings), JWT_KEY, PERMISSIONS)
    try:
        first = await api.bootstrap(database, authenticator)
        assert first is not None
        permissions = authenticator.permissions_of(frozenset({"superadmin"}))
        root = Ctx(first.tenant.id, first.user_id, database, clock, permissions)
        yield House(database, clock, authenticator, first, root)
    finally:
        authenticator.close()


def process_of(house: House, key: str = JWT_KEY, **settings: int) -> api.Authenticator:
    """The authenticator of a second process on the same database; close it."""
    return api.Authenticator(house.database, house.clock, IdentitySettings(**settings), key, PERMISSIONS)
