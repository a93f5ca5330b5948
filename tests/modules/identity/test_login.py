"""Logging in and out: what gets in, what does not, and what ends a session at once."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND
from nervio.modules.identity import api
from nervio.modules.identity.contracts import NewUser, PrincipalKind, UserChange
from nervio.modules.safety import api as safety
from tests.modules.identity.house import JWT_KEY, PASSWORD, House, process_of

HOUR = 3600


async def refused(work: object) -> NervioError:
    """The refusal of an awaitable that must be refused."""
    with pytest.raises(NervioError) as caught:
        await work  # type: ignore[misc]
    return caught.value


async def test_the_first_password_lets_the_superadmin_in(house: House) -> None:
    opened = await house.authenticator.log_in(house.first.email, house.first.password)
    assert opened.principal.roles == {"superadmin"}
    assert opened.principal.kind is PrincipalKind.USER
    assert house.of(opened).permissions == frozenset(house.authenticator._permissions)


async def test_a_second_start_makes_no_second_superadmin(house: House) -> None:
    assert await api.bootstrap(house.database, house.authenticator) is None


async def test_a_login_says_who_it_is_and_both_tokens_stand_for_it(house: House) -> None:
    user = await house.a_user(house.root, roles=("cashier", "deposito"))
    opened = await house.authenticator.log_in(user.email.upper(), PASSWORD)
    principal = opened.principal
    assert (principal.tenant_id, principal.actor_id) == (house.first.tenant.id, user.id)
    assert principal.roles == {"cashier", "deposito"}
    assert await house.authenticator.authenticate_bearer(opened.access_token) == principal
    assert await house.authenticator.authenticate_session(opened.session_token) == principal
    assert opened.expires_at == house.clock.now() + 8 * HOUR * SECOND


async def test_the_token_carries_the_claims_that_clients_expect(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    claims = jwt.decode(opened.access_token, OctKey.import_key(JWT_KEY), algorithms=["HS256"]).claims
    assert set(claims) == {"sub", "tid", "roles", "iat", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 8 * HOUR
    assert claims["sub"] == opened.principal.actor_id


async def test_every_wrong_login_gets_the_same_answer(house: House) -> None:
    user = await house.a_user(house.root)
    gone = await house.a_user(house.root)
    await api.update_user(house.root, gone.id, UserChange(active=False))
    answers = [
        await refused(house.authenticator.log_in(user.email, "wrong password")),
        await refused(house.authenticator.log_in("nobody@example.test", PASSWORD)),
        await refused(house.authenticator.log_in(gone.email, PASSWORD)),
        await refused(house.authenticator.log_in(user.email, PASSWORD, "no-such-tenant")),
        await refused(house.authenticator.log_in(user.email, PASSWORD, "with\x00nul")),
    ]
    assert {(answer.kind, answer.code, answer.message) for answer in answers} == {
        (Kind.UNAUTHENTICATED, "login_failed", answers[0].message)
    }


async def test_an_unknown_email_costs_as_much_time_as_a_wrong_password(house: House) -> None:
    user = await house.a_user(house.root)

    async def seconds(email: str) -> float:
        best = 60.0
        for _ in range(3):
            started = time.process_time()
            await refused(house.authenticator.log_in(email, "wrong password"))
            best = min(best, time.process_time() - started)
        return best

    known, unknown = await seconds(user.email), await seconds("nobody@example.test")
    assert unknown > known / 2


async def test_an_email_of_two_tenants_needs_the_tenant(house: House) -> None:
    tenant, admin = await house.a_tenant()
    here = await house.a_user(house.root, "ana@example.test")
    there = await house.a_user(admin, "ana@example.test")
    assert (await refused(house.authenticator.log_in("ana@example.test", PASSWORD))).code == "login_failed"
    assert (await house.logged_in(here, house.first.tenant.slug)).principal.actor_id == here.id
    assert (await house.logged_in(there, tenant.slug)).principal.actor_id == there.id


async def test_the_password_of_another_tenant_does_not_open_this_one(house: House) -> None:
    tenant, admin = await house.a_tenant()
    await house.a_user(house.root, "ana@example.test")
    given = NewUser("ana@example.test", "Ana", ("cashier",), "another password here")
    await api.create_user(admin, house.authenticator, given)
    assert (await refused(house.authenticator.log_in("ana@example.test", PASSWORD, tenant.slug))).code == "login_failed"


@pytest.mark.parametrize(
    ("email", "password", "field"), [("ana", PASSWORD, "email"), ("ana@example.test", "a\x00", "password")]
)
async def test_a_malformed_login_names_its_field(house: House, email: str, password: str, field: str) -> None:
    refusal = await refused(house.authenticator.log_in(email, password))
    assert (refusal.kind, refusal.data["field"]) == (Kind.INVALID, field)


# -- what ends a session ---------------------------------------------------------------------------------------------


async def assert_ended(house: House, opened: object) -> None:
    """Neither token of the session is good any more, in this process or in another."""
    access_token, session_token = opened.access_token, opened.session_token  # type: ignore[attr-defined]
    other = process_of(house)
    try:
        for authenticator in (house.authenticator, other):
            assert (await refused(authenticator.authenticate_bearer(access_token))).kind is Kind.UNAUTHENTICATED
            assert (await refused(authenticator.authenticate_session(session_token))).code == "session_ended"
            assert await authenticator.authenticate(session_token=session_token) is None
    finally:
        other.close()


async def test_logging_out_ends_the_session_and_its_token_at_once(house: House) -> None:
    user = await house.a_user(house.root)
    opened, other = await house.logged_in(user), await house.logged_in(user)
    await house.authenticator.authenticate_bearer(opened.access_token)
    await house.authenticator.log_out(opened.principal)
    await assert_ended(house, opened)
    assert (await house.authenticator.authenticate_bearer(other.access_token)).actor_id == user.id
    await house.authenticator.log_out(opened.principal)
    assert (await house.kinds(house.root)).count("logged_out") == 1


async def test_deactivating_a_user_ends_every_session_for_good(house: House) -> None:
    user = await house.a_user(house.root)
    opened = await house.logged_in(user)
    await api.update_user(house.root, user.id, UserChange(active=False))
    await assert_ended(house, opened)
    await api.update_user(house.root, user.id, UserChange(active=True))
    await assert_ended(house, opened)
    assert (await house.logged_in(user)).principal.actor_id == user.id


async def test_a_new_password_ends_every_session(house: House) -> None:
    user = await house.a_user(house.root)
    opened = await house.logged_in(user)
    await api.set_password(house.root, house.authenticator, user.id, "another fine password")
    await assert_ended(house, opened)
    assert (await refused(house.authenticator.log_in(user.email, PASSWORD))).code == "login_failed"
    await house.authenticator.log_in(user.email, "another fine password")


async def test_a_role_taken_away_is_gone_from_tokens_that_are_out(house: House) -> None:
    user = await house.a_user(house.root, roles=("deposito",))
    opened = await house.logged_in(user)
    assert "stock.write" in (house.of(opened).permissions or ())
    await api.update_user(house.root, user.id, UserChange(roles=("cashier",)))
    principal = await house.authenticator.authenticate_bearer(opened.access_token)
    assert principal.roles == {"cashier"}
    assert house.authenticator.context(principal).permissions == frozenset()


async def test_a_session_ends_by_itself_after_eight_hours(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    house.clock.advance(8 * HOUR - 1)
    await house.authenticator.authenticate_bearer(opened.access_token)
    house.clock.advance(1)
    assert (await refused(house.authenticator.authenticate_bearer(opened.access_token))).code == "token_expired"
    await assert_ended(house, opened)


async def test_refreshing_keeps_a_session_alive_but_not_for_ever(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, session_longest_seconds=20 * HOUR)
    opened = await authenticator.log_in(user.email, PASSWORD)
    started = house.clock.now()
    house.clock.advance(7 * HOUR)
    refreshed = await authenticator.refresh(opened.principal)
    assert refreshed.expires_at == started + 15 * HOUR * SECOND
    house.clock.advance(2 * HOUR)
    assert (await refused(authenticator.authenticate_bearer(opened.access_token))).code == "token_expired"
    principal = await authenticator.authenticate_bearer(refreshed.access_token)
    house.clock.advance(5 * HOUR)
    assert (await authenticator.refresh(principal)).expires_at == started + 20 * HOUR * SECOND
    house.clock.advance(6 * HOUR)
    assert (await refused(authenticator.refresh(principal))).code == "session_ended"
    authenticator.close()


async def test_a_session_that_was_ended_cannot_be_refreshed(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    await house.authenticator.log_out(opened.principal)
    assert (await refused(house.authenticator.refresh(opened.principal))).code == "session_ended"


# -- tokens that are not ours ----------------------------------------------------------------------------------------


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_tampered_tokens_are_refused(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    header, payload, signature = opened.access_token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    longer = _part({**claims, "exp": claims["exp"] + 1})
    forged = [
        f"{header}.{longer}.{signature}",
        f"{_part({'alg': 'none'})}.{payload}.",
        f"{_part({'alg': 'none'})}.{payload}.{signature}",
        f"{_part({'alg': 'HS512', 'typ': 'JWT'})}.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.{signature}",
        "",
        "a.b.c",
        "\xe9.b.c",
        "x" * 5000,
        opened.session_token,
        jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("another key of thirty-two bytes or more")),
        jwt.encode({"alg": "HS512"}, claims, OctKey.import_key(JWT_KEY), algorithms=["HS512"]),
    ]
    for token in forged:
        assert (await refused(house.authenticator.authenticate_bearer(token))).code == "invalid_token", token
    assert (await house.authenticator.authenticate_bearer(opened.access_token)) == opened.principal


async def test_a_token_signed_with_our_key_must_still_fit_its_session(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    key = OctKey.import_key(JWT_KEY)
    claims = jwt.decode(opened.access_token, key, algorithms=["HS256"]).claims
    changes: list[dict[str, object]] = [{"tid": new_id()}, {"sub": new_id()}, {"jti": "0" * 64}, {"jti": 1}]
    changes += [{"exp": "soon"}, {"exp": None}]
    for change in changes:
        token = jwt.encode({"alg": "HS256"}, {**claims, **change}, key)
        assert (await refused(house.authenticator.authenticate_bearer(token))).kind is Kind.UNAUTHENTICATED


async def test_a_key_made_anew_ends_every_token_but_not_the_sessions(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    other = process_of(house, key="another key of thirty-two bytes or more")
    assert (await refused(other.authenticate_bearer(opened.access_token))).code == "invalid_token"
    assert await other.authenticate_session(opened.session_token) == opened.principal
    other.close()


async def test_what_a_request_carries_is_read_in_order(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    made = await api.create_api_key(house.root, house.authenticator, "Printer", ["deposito"])
    authenticate = house.authenticator.authenticate
    assert await authenticate() is None
    assert await authenticate(session_token="x" * 43) is None
    assert await authenticate(session_token="x" * 5000) is None
    found = await authenticate(authorization=f"Bearer {opened.access_token}", api_key="wrong")
    assert found == opened.principal
    by_key = await authenticate(api_key=made.secret, session_token=opened.session_token)
    assert by_key is not None and by_key.kind is PrincipalKind.API_KEY
    for bad in ("Basic YTpi", "Bearer", "Bearer  ", ""):
        assert (await refused(authenticate(authorization=bad))).code == "invalid_authorization"


# -- during a stop ---------------------------------------------------------------------------------------------------


async def test_people_get_in_and_out_while_everything_is_stopped(house: House) -> None:
    user = await house.a_user(house.root)
    before = await house.logged_in(user)
    program = Ctx(house.first.tenant.id, "tester", house.database, house.clock)
    await safety.freeze(program, "drill")
    opened = await house.authenticator.log_in(user.email, PASSWORD)
    assert await house.authenticator.authenticate_bearer(opened.access_token) == opened.principal
    await house.authenticator.refresh(opened.principal)
    await house.authenticator.log_out(before.principal)
    await assert_ended(house, before)
    refusal = await refused(api.create_user(house.root, house.authenticator, NewUser("a@b.test", "A", ("cashier",))))
    assert refusal.kind is Kind.HALTED


async def test_logins_are_in_the_journal_without_secrets(house: House) -> None:
    user = await house.a_user(house.root)
    opened = await house.logged_in(user)
    await house.authenticator.refresh(opened.principal)
    await house.authenticator.log_out(opened.principal)
    assert (await house.kinds(house.root))[-3:] == ["logged_in", "session_refreshed", "logged_out"]


async def test_requests_that_wait_together_share_a_read_that_began_after_them(house: House) -> None:
    opened = await house.logged_in(await house.a_user(house.root))
    tokens = [opened.access_token] * 50 + ["x.y.z"]
    outcomes = await asyncio.gather(
        *(house.authenticator.authenticate_bearer(token) for token in tokens), return_exceptions=True
    )
    assert outcomes[:50] == [opened.principal] * 50
    assert isinstance(outcomes[50], NervioError)


async def test_a_revocation_wins_over_look_ups_that_are_under_way(house: House) -> None:
    """Whoever asks after the logout was answered is refused, however many reads were in flight."""
    opened = await house.logged_in(await house.a_user(house.root))
    stop = asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            await asyncio.gather(house.authenticator.authenticate_bearer(opened.access_token), return_exceptions=True)

    askers = [asyncio.create_task(ask()) for _ in range(8)]
    await asyncio.sleep(0.02)
    await house.authenticator.log_out(opened.principal)
    refusal = await refused(house.authenticator.authenticate_bearer(opened.access_token))
    assert refusal.code == "session_ended"
    stop.set()
    await asyncio.gather(*askers)
