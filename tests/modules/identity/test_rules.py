"""What an email, a password, a role, a tenant and a key must look like."""

from __future__ import annotations

import asyncio

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.identity.contracts import NewTenant
from nervio.modules.identity.domain import (
    check_email,
    check_name,
    check_password,
    check_roles,
    check_slug,
    check_tenant,
    network_of,
)
from nervio.modules.identity.usecases.passwords import PasswordHashing
from nervio.modules.identity.usecases.tokens import Claims, Tokens, api_key_of, password_of


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Ana@Example.com", "ana@example.com"),
        ("  ana@example.com ", "ana@example.com"),
        ("admin@localhost", "admin@localhost"),
        ("josé@example.com", "josé@example.com"),
        ("jose\u0301@example.com", "josé@example.com"),
    ],
)
def test_an_email_is_kept_in_one_form(given: str, stored: str) -> None:
    assert check_email(given, "email") == stored


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ana",
        "@example.com",
        "ana@",
        "a b@example.com",
        "ana@exa mple.com",
        "ana@-example.com",
        "ana@example..com",
        "ana\x00@example.com",
        "ana@example.com\n.evil",
        "\ud800@example.com",
        "a@b@c.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 260 + ".com",
    ],
)
def test_what_is_no_email_is_refused_by_its_field(email: str) -> None:
    with pytest.raises(NervioError) as refused:
        check_email(email, "email")
    assert refused.value.code == "invalid_email"
    assert refused.value.data["field"] == "email"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_too_short"),
        ("x" * 201, "password_too_long"),
        ("aaaaaaaaaaaaaa", "password_too_simple"),
        ("Ana@Example.com", "password_is_email"),
        ("with a \x00 in it", "invalid_password"),
        ("with a \ud800 in it", "invalid_password"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(password: str, code: str) -> None:
    with pytest.raises(NervioError) as refused:
        check_password(password, "ana@example.com", "password")
    assert (refused.value.code, refused.value.data["field"]) == (code, "password")
    assert password not in refused.value.message


def test_an_unknown_role_is_named_with_those_there_are() -> None:
    with pytest.raises(NervioError) as refused:
        check_roles(["cashier", "king"], "roles")
    assert refused.value.data["field"] == "roles[1]"
    assert "cashier" in refused.value.message


def test_roles_are_kept_sorted_and_once() -> None:
    assert check_roles(["negocio", "cashier", "negocio"], "roles") == ("cashier", "negocio")


def test_no_role_at_all_is_refused() -> None:
    with pytest.raises(NervioError, match="at least one"):
        check_roles([], "roles")


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a b", "a" * 51, "ñ", "a\n", "a\x00"])
def test_a_slug_fits_an_address(slug: str) -> None:
    with pytest.raises(NervioError):
        check_slug(slug, "slug")


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\x00b", "a\nb", "\ud800"])
def test_a_name_is_printable(name: str) -> None:
    with pytest.raises(NervioError):
        check_name(name, "name")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "pesos"}, "currency"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"language": "fr"}, "language"),
        ({"admin_name": "Ana"}, "admin_email"),
        ({"admin_email": "ana"}, "admin_email"),
    ],
)
def test_a_tenant_is_refused_by_the_field_that_is_wrong(change: dict[str, str], field: str) -> None:
    with pytest.raises(NervioError) as refused:
        check_tenant(NewTenant(**{"slug": "shop", "name": "Shop", **change}))
    assert refused.value.data["field"] == field


def test_attempts_from_one_ipv6_network_count_together() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("not an address") == "not an address"


@pytest.mark.parametrize("key", ["", "short", "x" * 31])
def test_a_key_too_short_to_sign_with_is_refused(key: str) -> None:
    with pytest.raises(NervioError) as refused:
        Tokens(key)
    assert refused.value.code == "weak_jwt_key"
    assert refused.value.data["field"] == "JWT_SECRET_KEY"


def test_a_key_of_thirty_two_bytes_is_long_enough() -> None:
    Tokens("x" * 32)


def test_drawn_secrets_repeat_only_for_the_same_request_and_key() -> None:
    tokens = Tokens("x" * 32)
    assert tokens.draw("user", "a", key="k") == tokens.draw("user", "a", key="k")
    others = [
        tokens.draw("user", "b", key="k"),
        tokens.draw("user", "a", key="j"),
        Tokens("y" * 32).draw("user", "a", key="k"),
    ]
    assert tokens.draw("user", "a", key="k") not in others
    assert tokens.draw("user", "a", key=None) != tokens.draw("user", "a", key=None)


def test_secrets_have_the_form_that_is_promised() -> None:
    drawn = Tokens("x" * 32).draw(key=None)
    prefix, secret = api_key_of(drawn)
    assert prefix.startswith("nrv_")
    assert secret.startswith(f"{prefix}_")
    assert len(secret) == len(prefix) + 1 + 43
    groups = password_of(drawn).split("-")
    assert [len(group) for group in groups] == [5, 5, 5, 5]


def test_a_token_says_what_was_signed() -> None:
    tokens = Tokens("x" * 32)
    claims = Claims("tenant", "user", "session", 2_000_000)
    assert tokens.verify(tokens.sign(claims, ["admin"], 1_000_000), 1_999_999) == claims


async def test_a_flood_of_passwords_is_refused_instead_of_queued() -> None:
    passwords = PasswordHashing(most_waiting=4)
    outcomes = await asyncio.gather(*(passwords.verify("x", None) for _ in range(6)), return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, NervioError)]
    assert [(refusal.kind, refusal.code) for refusal in refusals] == [(Kind.TOO_MANY, "logins_busy")] * 2
    assert [outcome for outcome in outcomes if isinstance(outcome, bool)] == [False] * 4
    passwords.close()


async def test_only_the_right_password_fits_its_hash() -> None:
    passwords = PasswordHashing()
    encoded = await passwords.hash("the right password")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert encoded != await passwords.hash("the right password")
    assert await passwords.hash("x" * 10, b"s" * 16) == await passwords.hash("x" * 10, b"s" * 16)
    assert await passwords.verify("the right password", encoded)
    assert not await passwords.verify("the wrong password", encoded)
    assert not await passwords.verify("the right password", "no hash at all")
    passwords.close()
