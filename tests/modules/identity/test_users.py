"""Users: made, changed and deactivated, by whom, and what the last administrator is safe from."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.identity import api
from nervio.modules.identity.contracts import NewUser, UserChange
from nervio.modules.ledger import api as ledger
from tests.modules.identity.house import PASSWORD, House
from tests.modules.identity.test_login import refused

ANA = NewUser("Ana@Example.test", "  Ana  ", ("deposito", "cashier"))


async def test_a_user_made_without_a_password_gets_one_that_works(house: House) -> None:
    made = await api.create_user(house.root, house.authenticator, ANA)
    assert (made.user.email, made.user.name, made.user.roles) == ("ana@example.test", "Ana", ("cashier", "deposito"))
    assert made.password is not None
    assert (await house.authenticator.log_in("ana@example.test", made.password)).principal.actor_id == made.user.id


async def test_a_password_that_was_chosen_is_never_shown(house: House) -> None:
    made = await api.create_user(house.root, house.authenticator, replace(ANA, password=PASSWORD))
    assert made.password is None
    assert PASSWORD not in repr(replace(ANA, password=PASSWORD))


async def test_creating_a_user_twice_under_one_key_gives_the_first_answer(house: House) -> None:
    first = await api.create_user(house.root, house.authenticator, ANA, "key-1")
    assert await api.create_user(house.root, house.authenticator, ANA, "key-1") == first
    chosen = NewUser("luis@example.test", "Luis", ("cashier",), PASSWORD)
    same = [await api.create_user(house.root, house.authenticator, chosen, "key-2") for _ in range(2)]
    assert same[0] == same[1]
    other = replace(chosen, password="another fine password")
    assert (
        await refused(api.create_user(house.root, house.authenticator, other, "key-2"))
    ).code == "idempotency_key_reused"


async def test_an_email_is_taken_once_in_a_tenant(house: House) -> None:
    await api.create_user(house.root, house.authenticator, ANA)
    refusal = await refused(api.create_user(house.root, house.authenticator, replace(ANA, email="ANA@example.test")))
    assert (refusal.kind, refusal.code, refusal.data["field"]) == (Kind.CONFLICT, "email_taken", "email")


async def test_one_of_many_who_take_an_email_at_once_gets_it(house: House) -> None:
    tries = [api.create_user(house.root, house.authenticator, ANA) for _ in range(6)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, NervioError)]
    assert codes == ["email_taken"] * 5


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (replace(ANA, email="ana"), "email"),
        (replace(ANA, name="\x00"), "name"),
        (replace(ANA, roles=("king",)), "roles[0]"),
        (replace(ANA, roles=()), "roles"),
        (replace(ANA, password="short"), "password"),
        (replace(ANA, password="ana@example.test"), "password"),
    ],
)
async def test_a_user_that_cannot_be_is_refused_by_field(house: House, given: NewUser, field: str) -> None:
    refusal = await refused(api.create_user(house.root, house.authenticator, given))
    assert (refusal.kind, refusal.data["field"]) == (Kind.INVALID, field)


async def test_changes_are_kept_and_told_to_the_journal(house: House) -> None:
    user = await house.a_user(house.root)
    changed = await api.update_user(house.root, user.id, UserChange(name="Ana María", roles=("admin",)))
    assert (changed.name, changed.roles, changed.active) == ("Ana María", ("admin",), True)
    assert await api.get_user(house.root, user.id) == changed
    entry = (await ledger.list_entries(house.root, kind="user_updated"))[0]
    assert (entry.document_id, entry.reference) == (user.id, user.email)
    assert entry.details == {"name": "Ana María", "roles": ["admin"]}


async def test_a_change_of_nothing_is_refused_and_a_repeated_one_leaves_no_trace(house: House) -> None:
    user = await house.a_user(house.root)
    assert (await refused(api.update_user(house.root, user.id, UserChange()))).code == "nothing_to_change"
    await api.update_user(house.root, user.id, UserChange(name=user.name, active=True))
    assert "user_updated" not in await house.kinds(house.root)


@pytest.mark.parametrize("user_id", ["01890000-0000-7000-8000-000000000000", "nobody", "", "a\x00b", "../x"])
async def test_an_unknown_user_is_not_found(house: House, user_id: str) -> None:
    change = UserChange(name="Ana")
    assert (await refused(api.update_user(house.root, user_id, change))).kind is Kind.NOT_FOUND
    assert (await refused(api.set_password(house.root, house.authenticator, user_id, PASSWORD))).kind is Kind.NOT_FOUND
    assert (await refused(api.get_user(house.root, user_id))).kind is Kind.NOT_FOUND


async def test_users_come_in_pages_by_email(house: House) -> None:
    for letter in "cab":
        await house.a_user(house.root, f"{letter}@example.test")
    first = await api.list_users(house.root, limit=2)
    rest = await api.list_users(house.root, after=first[-1].email)
    assert [user.email for user in first + rest] == [
        "a@example.test",
        house.first.email,
        "b@example.test",
        "c@example.test",
    ]


async def test_the_last_login_is_shown(house: House) -> None:
    user = await house.a_user(house.root)
    assert user.last_login_at is None
    house.clock.advance(60)
    await house.logged_in(user)
    assert (await api.get_user(house.root, user.id)).last_login_at == house.clock.now()


# -- passwords -------------------------------------------------------------------------------------------------------


async def test_a_password_can_be_reset_to_a_generated_one(house: House) -> None:
    user = await house.a_user(house.root)
    generated = await api.set_password(house.root, house.authenticator, user.id)
    assert generated is not None
    await house.authenticator.log_in(user.email, generated)
    entry = (await ledger.list_entries(house.root, kind="user_password_changed"))[0]
    assert (entry.document_id, entry.details) == (user.id, None)


async def test_anybody_changes_their_own_password_by_giving_the_current_one(house: House) -> None:
    user = await house.a_user(house.root)
    own = house.of(await house.logged_in(user))
    new = "another fine password"
    missing = await refused(api.set_password(own, house.authenticator, user.id, new))
    assert (missing.code, missing.data["field"]) == ("current_password_missing", "current_password")
    assert (await refused(api.set_password(own, house.authenticator, user.id, new, "wrong"))).code == "login_failed"
    assert await api.set_password(own, house.authenticator, user.id, new, PASSWORD) is None
    await house.authenticator.log_in(user.email, new)


async def test_guessing_the_current_password_is_slowed_down(house: House) -> None:
    user = await house.a_user(house.root)
    own = house.of(await house.logged_in(user))
    kinds = [
        (await refused(api.set_password(own, house.authenticator, user.id, "another fine one", "wrong"))).kind
        for _ in range(11)
    ]
    assert kinds == [Kind.UNAUTHENTICATED] * 10 + [Kind.TOO_MANY]


# -- who may ---------------------------------------------------------------------------------------------------------


async def test_a_cashier_neither_sees_nor_changes_users_and_keys(house: House) -> None:
    user = await house.a_user(house.root)
    ctx = house.of(await house.logged_in(user))
    other = await house.a_user(house.root)
    for work in (
        api.list_users(ctx),
        api.get_user(ctx, other.id),
        api.create_user(ctx, house.authenticator, ANA),
        api.update_user(ctx, user.id, UserChange(roles=("admin",))),
        api.set_password(ctx, house.authenticator, other.id, "another fine password"),
        api.create_api_key(ctx, house.authenticator, "Key", ["admin"]),
        api.revoke_api_key(ctx, new_id()),
        api.list_api_keys(ctx),
        api.list_tenants(ctx),
    ):
        assert (await refused(work)).kind is Kind.FORBIDDEN


async def test_only_a_superadmin_makes_changes_or_unmakes_one(house: House) -> None:
    admin_user = await house.a_user(house.root, roles=("admin",))
    admin = house.of(await house.logged_in(admin_user))
    root_id = house.first.user_id
    for work in (
        api.create_user(admin, house.authenticator, replace(ANA, roles=("superadmin",))),
        api.update_user(admin, admin_user.id, UserChange(roles=("superadmin",))),
        api.update_user(admin, root_id, UserChange(name="Fool")),
        api.update_user(admin, root_id, UserChange(active=False)),
        api.set_password(admin, house.authenticator, root_id, "another fine password"),
        api.create_api_key(admin, house.authenticator, "Key", ["superadmin"]),
    ):
        refusal = await refused(work)
        assert (refusal.kind, refusal.data["permission"]) == (Kind.FORBIDDEN, "identity.superadmins.write")
    await house.authenticator.log_in(house.first.email, house.first.password)
    made = await api.create_user(house.root, house.authenticator, replace(ANA, roles=("superadmin",)))
    assert made.user.roles == ("superadmin",)


async def test_the_last_superadmin_stays(house: House) -> None:
    root_id = house.first.user_id
    _, admin = await house.a_tenant()
    await house.a_user(admin, roles=("admin",))
    for change in (UserChange(active=False), UserChange(roles=("admin",))):
        assert (await refused(api.update_user(house.root, root_id, change))).code == "last_superadmin"
    second = await house.a_user(house.root, roles=("superadmin",))
    await api.update_user(house.root, root_id, UserChange(active=False))
    assert (await refused(api.update_user(house.root, second.id, UserChange(active=False)))).code == "last_superadmin"


async def test_the_last_administrator_of_a_tenant_stays(house: House) -> None:
    _, admin = await house.a_tenant()
    for change in (UserChange(active=False), UserChange(roles=("cashier",))):
        assert (await refused(api.update_user(admin, admin.actor_id, change))).code == "last_admin"
    await house.a_user(admin, roles=("admin",))
    await api.update_user(admin, admin.actor_id, UserChange(roles=("cashier",)))


async def test_two_superadmins_who_unmake_each_other_leave_one(house: House) -> None:
    others = [await house.a_user(house.root, roles=("superadmin",)) for _ in range(3)]
    ids = [house.first.user_id, *(user.id for user in others)]
    tries = [api.update_user(house.root, user_id, UserChange(active=False)) for user_id in ids]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, NervioError)]
    assert codes == ["last_superadmin"]
