"""The routes of identity, behind the middleware that every request passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from nervio.modules.identity.module import MANIFEST
from nervio.runtime.http.application import Face, make_application
from nervio.runtime.http.authentication import Authenticate
from nervio.runtime.http.metrics import HttpMetrics
from nervio.runtime.settings import ServerSettings
from tests.builders import SetClock, a_sqlite_database
from tests.modules.identity.house import PASSWORD, House, a_house

ANA = {"email": "ana@example.test", "name": "Ana", "roles": ["cashier"], "password": PASSWORD}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A freshly installed Nervio on SQLite; what the databases do differently is behind the api."""
    clock = SetClock()
    async with a_sqlite_database(tmp_path / "nervio.db", clock) as database, a_house(database, clock) as installed:
        yield installed


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which runs in this process."""
    async with a_client(house) as made:
        yield made


def a_client(house: House, base: str = "http://shop.test") -> httpx.AsyncClient:
    """A client with cookies of its own."""
    face = Face(
        version="test",
        settings=ServerSettings.model_validate({}),
        manifests=[MANIFEST],
        metrics=HttpMetrics(CollectorRegistry()),
        inner=[lambda app: Authenticate(app, lambda: house.authenticator)],
    )
    application = make_application(face)
    application.api.state.authenticator = house.authenticator
    return httpx.AsyncClient(transport=httpx.ASGITransport(application.asgi), base_url=base)


async def log_in(client: httpx.AsyncClient, email: str, password: str, **more: object) -> dict[str, str]:
    """The header of a fresh login."""
    answer = await client.post("/api/auth/login", json={"email": email, "password": password, **more})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_a_login_is_followed_by_a_profile_a_refresh_and_a_logout(house: House, client: httpx.AsyncClient) -> None:
    body = {"email": house.first.email, "password": house.first.password}
    answer = (await client.post("/api/auth/login", json=body)).json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 8 * 3600)
    assert answer["profile"]["tenant"]["slug"] == "main"
    assert not client.cookies
    header = {"Authorization": f"Bearer {answer['access_token']}"}
    assert (await client.get("/api/auth/profile", headers=header)).json() == answer["profile"]
    house.clock.advance(60)
    refreshed = (await client.post("/api/auth/refresh", headers=header)).json()
    assert refreshed["expires_at"] > answer["expires_at"]
    assert (await client.post("/api/auth/logout", headers=header)).status_code == 204
    for path in ("/api/auth/profile", "/api/tenants/current"):
        assert (await client.get(path, headers=header)).status_code == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_cookie_of_a_browser_is_kept_from_scripts_and_other_sites(house: House, scheme: str) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    async with a_client(house, f"{scheme}://shop.test") as client:
        body = {"email": house.first.email, "password": house.first.password, "cookie": True}
        cookie = (await client.post("/api/auth/login", json=body)).headers["set-cookie"].lower()
        assert cookie.startswith("nervio_session=")
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "max-age=28800" in cookie
        assert ("secure" in cookie) == (scheme == "https")
        assert (await client.get("/api/auth/profile")).status_code == 200
        assert (await client.post("/api/auth/refresh", headers=own)).headers["set-cookie"].startswith("nervio_session=")
        out = await client.post("/api/auth/logout", headers=own)
        assert out.status_code == 204
        assert 'nervio_session=""' in out.headers["set-cookie"]
        assert (await client.get("/api/auth/profile")).status_code == 401


async def test_a_stale_cookie_does_not_keep_anybody_from_logging_in(house: House, client: httpx.AsyncClient) -> None:
    client.cookies.set("nervio_session", "stale")
    headers = {"Sec-Fetch-Site": "same-origin"}
    body = {"email": house.first.email, "password": house.first.password, "cookie": True}
    assert (await client.post("/api/auth/login", json=body, headers=headers)).status_code == 200


async def test_a_wrong_login_is_a_401_and_too_many_are_a_429_with_retry_after(client: httpx.AsyncClient) -> None:
    body = {"email": "nobody@example.test", "password": "wrong password"}
    for _ in range(10):
        assert (await client.post("/api/auth/login", json=body)).status_code == 401
    answer = await client.post("/api/auth/login", json=body)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


async def test_users_are_made_listed_changed_and_given_passwords(house: House, client: httpx.AsyncClient) -> None:
    root = await log_in(client, house.first.email, house.first.password)
    made = await client.post("/api/users", json=ANA, headers={**root, "Idempotency-Key": "k1"})
    assert made.status_code == 201
    again = await client.post("/api/users", json=ANA, headers={**root, "Idempotency-Key": "k1"})
    assert again.json() == made.json()
    user = made.json()["user"]
    page = (await client.get("/api/users?limit=1", headers=root)).json()
    rest = (await client.get(f"/api/users?limit=1&cursor={page['next_cursor']}", headers=root)).json()
    assert [one["email"] for one in page["items"] + rest["items"]] == [house.first.email, ANA["email"]]
    assert rest["next_cursor"] is None
    ana = await log_in(client, "ana@example.test", PASSWORD)
    assert (await client.get("/api/users", headers=ana)).status_code == 403
    own = {"password": "another fine password", "current_password": PASSWORD}
    answer = await client.post(f"/api/users/{user['id']}/password", json=own, headers=ana)
    assert (answer.status_code, answer.json()) == (200, {"password": None})
    assert (await client.get("/api/auth/profile", headers=ana)).status_code == 401
    changed = await client.patch(f"/api/users/{user['id']}", json={"active": False}, headers=root)
    assert changed.json()["active"] is False


async def test_one_s_own_password_is_changed_and_every_other_session_ends(
    house: House, client: httpx.AsyncClient
) -> None:
    root = await log_in(client, house.first.email, house.first.password)
    await client.post("/api/users", json=ANA, headers=root)
    elsewhere = await log_in(client, ANA["email"], PASSWORD)  # type: ignore[arg-type]
    async with a_client(house) as browser:
        await log_in(browser, ANA["email"], PASSWORD, cookie=True)  # type: ignore[arg-type]
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        before = browser.cookies["nervio_session"]
        new = "another fine password"

        async def change(current: str, password: str) -> httpx.Response:
            return await browser.post("/api/auth/password", json={"current_password": current, "password": password})

        for current, password, status, code, field in (
            (PASSWORD, "short", 422, "password_too_short", "password"),
            (PASSWORD, PASSWORD, 422, "password_unchanged", "password"),
            ("not this one", new, 401, "login_failed", None),
        ):
            problem = (await change(current, password)).json()
            assert (problem["status"], problem["code"], problem.get("field")) == (status, code, field)
        assert (await client.get("/api/auth/profile", headers=elsewhere)).status_code == 200
        answer = await change(PASSWORD, new)
        assert answer.status_code == 200, answer.text
        assert answer.json()["profile"]["email"] == ANA["email"]
        assert browser.cookies["nervio_session"] != before
        assert (await browser.get("/api/auth/profile")).status_code == 200
        fresh = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await client.get("/api/auth/profile", headers=fresh)).status_code == 200
        assert (await client.get("/api/auth/profile", headers=elsewhere)).status_code == 401
        stale = {"Cookie": f"nervio_session={before}"}
        assert (await client.get("/api/auth/profile", headers=stale)).status_code == 401
    assert (await client.post("/api/auth/login", json={"email": ANA["email"], "password": PASSWORD})).status_code == 401
    await log_in(client, ANA["email"], new)  # type: ignore[arg-type]


async def test_guessing_one_s_own_password_is_slowed_down_as_a_login_is(
    house: House, client: httpx.AsyncClient
) -> None:
    header = await log_in(client, house.first.email, house.first.password)
    body = {"current_password": "a wild guess", "password": "another fine password"}
    codes = [(await client.post("/api/auth/password", json=body, headers=header)).status_code for _ in range(11)]
    assert codes == [401] * 10 + [429]
    right = {"email": house.first.email, "password": house.first.password}
    assert (await client.post("/api/auth/login", json=right)).status_code == 429


async def test_a_key_has_no_password_to_change(house: House, client: httpx.AsyncClient) -> None:
    root = await log_in(client, house.first.email, house.first.password)
    made = (await client.post("/api/keys", json={"name": "Printer", "roles": ["admin"]}, headers=root)).json()
    body = {"current_password": "a wild guess", "password": "another fine password"}
    answer = await client.post("/api/auth/password", json=body, headers={"X-API-Key": made["secret"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_session")
    assert (await client.post("/api/auth/password", json=body)).status_code == 401


async def test_keys_are_made_listed_used_and_revoked(house: House, client: httpx.AsyncClient) -> None:
    root = await log_in(client, house.first.email, house.first.password)
    made = (await client.post("/api/keys", json={"name": "Printer", "roles": ["admin"]}, headers=root)).json()
    header = {"X-API-Key": made["secret"]}
    assert (await client.get("/api/auth/profile", headers=header)).json()["kind"] == "api_key"
    listed = (await client.get("/api/keys", headers=header)).json()["items"]
    assert listed == [made["key"]]
    assert (await client.post("/api/auth/refresh", headers=header)).status_code == 409
    revoked = await client.delete(f"/api/keys/{made['key']['id']}", headers=root)
    assert revoked.json()["revoked_at"] is not None
    assert (await client.get("/api/keys", headers=header)).status_code == 401


async def test_tenants_are_made_and_listed_by_the_superadmin_only(house: House, client: httpx.AsyncClient) -> None:
    root = await log_in(client, house.first.email, house.first.password)
    body = {"slug": "mini-market", "name": "Mini Market", "admin_email": "luis@example.test"}
    made = (await client.post("/api/tenants", json=body, headers=root)).json()
    luis = await log_in(client, "luis@example.test", made["admin_password"], tenant="mini-market")
    assert (await client.get("/api/tenants/current", headers=luis)).json() == made["tenant"]
    assert (await client.get("/api/tenants", headers=luis)).status_code == 403
    assert (await client.post("/api/tenants", json=body, headers=luis)).status_code == 403
    first = (await client.get("/api/tenants?limit=1", headers=root)).json()
    rest = (await client.get(f"/api/tenants?limit=1&cursor={first['next_cursor']}", headers=root)).json()
    assert [one["slug"] for one in first["items"] + rest["items"]] == ["main", "mini-market"]


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/users", {**ANA, "roles": ["king"]}, "roles[0]"),
        ("POST", "/api/users", {**ANA, "email": "ana"}, "email"),
        ("POST", "/api/users", {**ANA, "age": 3}, "age"),
        ("POST", "/api/users", {"name": "Ana"}, "email"),
        ("PATCH", "/api/users/nobody", {}, "name"),
        ("POST", "/api/keys", {"name": "", "roles": ["admin"]}, "name"),
        ("POST", "/api/tenants", {"slug": "A B", "name": "x"}, "slug"),
        ("GET", "/api/users?cursor=bm9uZQ", None, "cursor"),
        ("GET", "/api/keys?cursor=WyJ4Il0", None, "cursor"),
        ("GET", "/api/users?limit=0", None, "limit"),
    ],
)
async def test_bad_input_names_the_field(
    house: House, client: httpx.AsyncClient, method: str, path: str, body: dict[str, object] | None, field: str
) -> None:
    root = await log_in(client, house.first.email, house.first.password)
    answer = await client.request(method, path, json=body, headers=root)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert field in {problem.get("field"), *(error["field"] for error in problem.get("errors", ()))}


async def test_every_route_but_the_login_needs_a_caller(house: House, client: httpx.AsyncClient) -> None:
    for router in MANIFEST.routers:
        for route in router.routes:
            path, methods = str(getattr(route, "path", "")), list[str](getattr(route, "methods", ()))
            if path != "/api/auth/login":
                for method in methods:
                    answer = await client.request(method, path.replace("{user_id}", "x").replace("{key_id}", "x"))
                    assert answer.status_code in {401, 422}, (method, path)


async def test_the_description_names_every_operation_once(house: House) -> None:
    operations = [route for router in MANIFEST.routers for route in router.routes]
    names = [getattr(route, "operation_id", None) for route in operations]
    assert None not in names
    assert len(set(names)) == len(names) == 15
    assert all(getattr(route, "summary", "") for route in operations)
