"""API keys and tenants, and the wall between two tenants."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind
from nervio.kernel.ids import new_id
from nervio.modules.identity import api
from nervio.modules.identity.contracts import NewTenant, PrincipalKind, UserChange
from nervio.modules.ledger import api as ledger
from tests.modules.identity.house import PASSWORD, House, process_of
from tests.modules.identity.test_login import refused

SHOP = NewTenant("mini-market", "Mini Market", admin_email="Luis@Example.test")


# -- keys ------------------------------------------------------------------------------------------------------------


async def test_a_key_stands_for_itself_with_its_roles(house: House) -> None:
    made = await api.create_api_key(house.root, house.authenticator, " Printer ", ["deposito"])
    principal = await house.authenticator.authenticate_key(made.secret)
    assert (principal.actor_id, principal.tenant_id) == (made.key.id, house.first.tenant.id)
    assert (principal.name, principal.roles, principal.kind) == (
        "Printer",
        frozenset({"deposito"}),
        PrincipalKind.API_KEY,
    )
    assert house.authenticator.context(principal).permissions == frozenset({"stock.write"})
    assert made.secret.startswith(made.key.prefix)
    assert made.secret not in repr(made)


async def test_a_revoked_key_stops_working_at_once_in_every_process(house: House) -> None:
    made = await api.create_api_key(house.root, house.authenticator, "Printer", ["deposito"])
    other = process_of(house)
    for authenticator in (house.authenticator, other):
        await authenticator.authenticate_key(made.secret)
    revoked = await api.revoke_api_key(house.root, made.key.id)
    assert revoked.revoked_at == house.clock.now()
    for authenticator in (house.authenticator, other):
        assert (await refused(authenticator.authenticate_key(made.secret))).code == "invalid_api_key"
    house.clock.advance(60)
    assert await api.revoke_api_key(house.root, made.key.id) == revoked
    assert [key for key in await house.kinds(house.root) if key.startswith("api_key")] == [
        "api_key_created",
        "api_key_revoked",
    ]
    other.close()


@pytest.mark.parametrize("key", ["", "x", "nrv_00000000_", "a\x00b", "\ud800", "x" * 5000])
async def test_what_is_no_key_is_refused(house: House, key: str) -> None:
    assert (await refused(house.authenticator.authenticate_key(key))).code == "invalid_api_key"


async def test_creating_a_key_twice_under_one_idempotency_key_gives_the_same_secret(house: House) -> None:
    first = await api.create_api_key(house.root, house.authenticator, "Printer", ["deposito"], "key-1")
    assert await api.create_api_key(house.root, house.authenticator, "Printer", ["deposito"], "key-1") == first
    refusal = await refused(api.create_api_key(house.root, house.authenticator, "Other", ["deposito"], "key-1"))
    assert refusal.code == "idempotency_key_reused"
    assert [key.id for key in await api.list_api_keys(house.root)] == [first.key.id]


async def test_keys_come_in_pages_the_oldest_first(house: House) -> None:
    made = [await api.create_api_key(house.root, house.authenticator, f"Key {n}", ["cashier"]) for n in range(3)]
    first = await api.list_api_keys(house.root, limit=2)
    rest = await api.list_api_keys(house.root, after=first[-1].id)
    assert first + rest == [one.key for one in made]


async def test_a_key_has_no_session(house: House) -> None:
    made = await api.create_api_key(house.root, house.authenticator, "Printer", ["deposito"])
    principal = await house.authenticator.authenticate_key(made.secret)
    assert (await refused(house.authenticator.log_out(principal))).code == "no_session"
    assert (await refused(house.authenticator.refresh(principal))).code == "no_session"


async def test_no_secret_is_stored_or_told_to_the_journal(house: House) -> None:
    user = await house.a_user(house.root)
    opened = await house.logged_in(user)
    made = await api.create_api_key(house.root, house.authenticator, "Printer", ["deposito"], "key-1")
    generated = await api.set_password(house.root, house.authenticator, user.id, key="key-2")
    assert generated is not None

    def dump(connection: Connection) -> str:
        tables = ("users", "api_keys", "sessions", "idempotency_keys", "journal_entries", "outbox")
        return repr([connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables])  # noqa: S608

    stored = await house.database.read(dump)
    for secret in (PASSWORD, house.first.password, opened.session_token, opened.access_token, made.secret, generated):
        assert secret not in stored


# -- tenants ---------------------------------------------------------------------------------------------------------


async def test_a_new_tenant_has_its_administrator_and_its_own_journal(house: House) -> None:
    made = await api.create_tenant(house.root, house.authenticator, SHOP)
    assert made.admin_password is not None
    opened = await house.authenticator.log_in("luis@example.test", made.admin_password)
    admin = house.of(opened)
    assert (opened.principal.tenant_id, opened.principal.roles) == (made.tenant.id, frozenset({"admin"}))
    assert await api.get_current_tenant(admin) == made.tenant
    kinds = [entry.kind for entry in await ledger.list_entries(admin)]
    assert sorted(kinds) == ["logged_in", "tenant_created", "user_created"]


async def test_a_tenant_without_an_administrator_is_for_programs(house: House) -> None:
    made = await api.create_tenant(house.root, house.authenticator, NewTenant("demo", "Demo"))
    assert (made.admin_id, made.admin_password) == (None, None)
    assert await api.find_tenant(house.database, "demo") == made.tenant
    assert await api.find_tenant(house.database, "nothing") is None
    assert await api.find_tenant(house.database, "a\x00b") is None


async def test_a_slug_names_one_tenant(house: House) -> None:
    await api.create_tenant(house.root, house.authenticator, SHOP)
    refusal = await refused(api.create_tenant(house.root, house.authenticator, SHOP))
    assert (refusal.kind, refusal.code, refusal.data["field"]) == (Kind.CONFLICT, "slug_taken", "slug")


async def test_creating_a_tenant_twice_under_one_key_gives_the_first_answer(house: House) -> None:
    first = await api.create_tenant(house.root, house.authenticator, SHOP, "key-1")
    assert await api.create_tenant(house.root, house.authenticator, SHOP, "key-1") == first


async def test_only_a_superadmin_makes_and_lists_tenants(house: House) -> None:
    tenant, admin = await house.a_tenant()
    assert (await refused(api.create_tenant(admin, house.authenticator, SHOP))).kind is Kind.FORBIDDEN
    assert (await refused(api.list_tenants(admin))).kind is Kind.FORBIDDEN
    assert [one.slug for one in await api.list_tenants(house.root)] == sorted([house.first.tenant.slug, tenant.slug])
    assert [one.slug for one in await api.list_tenants(house.root, after="main")] == [tenant.slug]


async def test_a_tenant_loaded_before_the_first_start_still_gets_its_superadmin(house: House) -> None:
    """Two starts at once on an installation that has tenants but no superadmin make one."""

    def forget(connection: Connection) -> None:
        connection.execute(text("DELETE FROM user_roles"))

    await house.database.bookkeep("lease", forget)
    firsts = await asyncio.gather(
        *(
            api.bootstrap(house.database, house.authenticator, first)
            for first in [
                NewTenant("main", "Main", admin_email="one@example.test", admin_name="One"),
                NewTenant("main", "Main", admin_email="two@example.test", admin_name="Two"),
            ]
        )
    )
    made = [first for first in firsts if first is not None]
    assert len(made) == 1
    assert made[0].tenant.id == house.first.tenant.id
    await house.authenticator.log_in(made[0].email, made[0].password)


# -- the wall between tenants ----------------------------------------------------------------------------------------


async def test_another_tenants_people_and_keys_cannot_be_told_from_none(house: House) -> None:
    _, here = await house.a_tenant()
    _, there = await house.a_tenant()
    user = await house.a_user(there)
    made = await api.create_api_key(there, house.authenticator, "Printer", ["deposito"])
    nobody = new_id()
    for known, unknown in (
        (api.get_user(here, user.id), api.get_user(here, nobody)),
        (
            api.update_user(here, user.id, UserChange(active=False)),
            api.update_user(here, nobody, UserChange(active=False)),
        ),
        (api.set_password(here, house.authenticator, user.id), api.set_password(here, house.authenticator, nobody)),
        (api.revoke_api_key(here, made.key.id), api.revoke_api_key(here, nobody)),
    ):
        first, second = await refused(known), await refused(unknown)
        assert first.kind is second.kind is Kind.NOT_FOUND
        assert (first.code, set(first.data)) == (second.code, set(second.data))
    assert user.id not in {one.id for one in await api.list_users(here)}
    assert await api.list_api_keys(here) == []
    assert (await api.list_users(here, after="a"))[0].id == here.actor_id
    assert (await house.authenticator.authenticate_key(made.secret)).actor_id == made.key.id
    assert (await house.logged_in(user)).principal.tenant_id == there.tenant_id
    assert not {"user_updated", "api_key_revoked"} & set(await house.kinds(there))


async def test_even_the_superadmin_is_bound_to_one_tenants_people(house: House) -> None:
    _, there = await house.a_tenant()
    user = await house.a_user(there)
    assert (await refused(api.update_user(house.root, user.id, UserChange(name="X")))).kind is Kind.NOT_FOUND
    assert user.id not in {one.id for one in await api.list_users(house.root)}


async def test_one_email_may_belong_to_both_and_changes_in_one_leave_the_other(house: House) -> None:
    tenant, here = await house.a_tenant()
    other, there = await house.a_tenant()
    mine = await house.a_user(here, "ana@example.test")
    theirs = await house.a_user(there, "ana@example.test")
    opened = await house.logged_in(theirs, other.slug)
    await api.set_password(here, house.authenticator, mine.id, "another fine password")
    await api.update_user(here, mine.id, UserChange(active=False))
    assert await house.authenticator.authenticate_bearer(opened.access_token) == opened.principal
    assert (await refused(house.authenticator.log_in(mine.email, PASSWORD, tenant.slug))).code == "login_failed"


async def test_a_session_cannot_be_closed_from_another_tenant(house: House) -> None:
    _, here = await house.a_tenant()
    user = await house.a_user(house.root)
    opened = await house.logged_in(user)
    stranger = replace(opened.principal, tenant_id=here.tenant_id, actor_id=here.actor_id)
    await house.authenticator.log_out(stranger)
    assert await house.authenticator.authenticate_bearer(opened.access_token) == opened.principal
    assert (await refused(house.authenticator.refresh(stranger))).kind is Kind.UNAUTHENTICATED


async def test_an_idempotency_key_of_one_tenant_means_nothing_in_another(house: House) -> None:
    _, here = await house.a_tenant()
    _, there = await house.a_tenant()
    one = await api.create_api_key(here, house.authenticator, "Printer", ["deposito"], "key-1")
    two = await api.create_api_key(there, house.authenticator, "Printer", ["deposito"], "key-1")
    assert one.secret != two.secret


async def test_profiles_show_the_callers_own_tenant(house: House) -> None:
    tenant, here = await house.a_tenant()
    user = await house.a_user(here)
    opened = await house.logged_in(user)
    profile = await api.get_profile(house.of(opened), opened.principal)
    assert (profile.email, profile.tenant, profile.permissions) == (user.email, tenant, ())
    made = await api.create_api_key(here, house.authenticator, "Printer", ["deposito"])
    key = await house.authenticator.authenticate_key(made.secret)
    assert (await api.get_profile(house.authenticator.context(key), key)).email is None
    lost = Ctx(new_id(), "tester", house.database, house.clock)
    assert (await refused(api.get_current_tenant(lost))).kind is Kind.NOT_FOUND
