"""The REST routes of orders, campaigns, accounts and alerts as a client calls them: good and bad input, rights, another shop's
ids, repeated keys, a stop, pages."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from nervio.kernel.ids import new_id
from nervio.modules.safety.models.actions import ad_actions
from tests.modules.served import every_page, ok, refused
from tests.runtime.program import Program, a_program

BASE = "/api/safety"
CONNECTION: dict[str, Any] = {
    "name": "Agency",
    "platform": "webhook",
    "fields": {"url": "https://ads.example/orders", "signing_secret": "a signing secret"},
}
DESTINATION: dict[str, Any] = {"name": "Chat", "kind": "slack", "fields": {"url": "https://hooks.example/x"}}
Body = dict[str, Any]


@dataclass
class Shop:
    """A shop, and somebody in it who calls the API."""

    program: Program
    headers: dict[str, str]

    async def call(self, method: str, path: str, body: object = None, key: str | None = None) -> httpx.Response:
        headers = self.headers if key is None else {**self.headers, "Idempotency-Key": key}
        return await self.program.client.request(method, BASE + path, json=body, headers=headers)

    async def get(self, path: str) -> Any:
        return ok(await self.call("GET", path))

    async def post(self, path: str, body: object = None, key: str | None = None) -> Any:
        return ok(await self.call("POST", path, body, key))

    async def colleague(self, role: str) -> "Shop":
        """Somebody else of the shop."""
        given = {"email": f"{role}@{new_id()}.test", "name": role, "roles": [role]}
        made = await self.program.client.post("/api/users", json=given, headers=self.headers)
        assert made.status_code in {200, 201}, made.text
        return Shop(self.program, await self.program.login(given["email"], made.json()["password"]))  # type: ignore[arg-type]

    async def campaign(self, name: str = "Summer", **given: Any) -> Body:
        """A campaign on an account of its own."""
        connection = await self.post("/connections", {**CONNECTION, "name": f"Agency of {name}"})
        return await self.post("/campaigns", a_campaign(connection["id"], name, **given))  # type: ignore[no-any-return]


def a_campaign(connection_id: str, name: str = "Summer", **given: Any) -> Body:
    return {
        "connection_id": connection_id,
        "external_id": f"C-{name}",
        "name": name,
        "daily_budget_minor": 240_000,
        "currency": "ARS",
        "product_ids": [],
        **given,
    }


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_program(tmp_path) as program:
        yield await a_shop(program, "corner")


async def a_shop(program: Program, slug: str) -> Shop:
    root = await program.login()
    given = {"slug": slug, "name": slug, "admin_email": f"admin@{slug}.test", "admin_name": "Admin"}
    made = await program.client.post("/api/tenants", json=given, headers=root)
    assert made.status_code in {200, 201}, made.text
    return Shop(program, await program.login(f"admin@{slug}.test", made.json()["admin_password"]))


# -- accounts and campaigns ------------------------------------------------------------------------------------------


async def test_an_account_and_a_campaign_from_adding_to_deleting(shop: Shop) -> None:
    connection = await shop.post("/connections", CONNECTION)
    assert connection["secrets_set"] == ["signing_secret"]
    assert "a signing secret" not in str(connection)
    campaign = await shop.post("/campaigns", a_campaign(connection["id"]))
    assert (campaign["connection_name"], campaign["status"]) == ("Agency", "unknown")
    renamed = ok(await shop.call("PUT", f"/campaigns/{campaign['id']}", a_campaign(connection["id"], name="Winter")))
    assert renamed["name"] == "Winter"
    moved = {**CONNECTION, "fields": {"url": "https://ads.example/moved"}}
    changed = ok(await shop.call("PUT", f"/connections/{connection['id']}", moved))
    assert changed["settings"] == {"url": "https://ads.example/moved"}
    assert changed["secrets_set"] == ["signing_secret"], "a secret that is left out stays"
    refused(await shop.call("DELETE", f"/connections/{connection['id']}"), 409, "connection_in_use")
    deleted = ok(await shop.call("DELETE", f"/campaigns/{campaign['id']}", key="k"))
    assert deleted == {"id": campaign["id"], "name": "Winter"}
    assert ok(await shop.call("DELETE", f"/campaigns/{campaign['id']}", key="k")) == deleted
    refused(await shop.call("DELETE", f"/campaigns/{campaign['id']}"), 404, "campaign_not_found")
    ok(await shop.call("DELETE", f"/connections/{connection['id']}"))
    assert (await shop.get("/connections"))["items"] == []


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"platform": "radio"}, 422, "invalid_choice", "platform"),
        ({"name": ""}, 422, "validation", "name"),
        ({"fields": {"url": "https://ads.example"}}, 422, "missing_field", "signing_secret"),
        ({"fields": {**CONNECTION["fields"], "colour": "red"}}, 422, "unknown_field", "colour"),
    ],
)
async def test_a_wrong_account_is_refused_by_the_name_of_the_field(
    shop: Shop, change: Body, status: int, code: str, field: str
) -> None:
    answer = await shop.call("POST", "/connections", {**CONNECTION, **change})
    if code == "validation":
        assert (answer.status_code, field in answer.text) == (422, True), answer.text
    else:
        refused(answer, status, code, field)
    assert (await shop.get("/connections"))["items"] == []


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"connection_id": new_id()}, "connection_not_found", "connection_id"),
        ({"product_ids": [new_id()]}, "product_not_found", "product_ids[0]"),
        ({"daily_budget_minor": -1}, None, "daily_budget_minor"),
        ({"currency": "peso"}, None, "currency"),
    ],
)
async def test_a_wrong_campaign_is_refused_by_the_name_of_the_field(
    shop: Shop, change: Body, code: str | None, field: str
) -> None:
    connection = await shop.post("/connections", CONNECTION)
    answer = await shop.call("POST", "/campaigns", {**a_campaign(connection["id"]), **change})
    assert answer.status_code in {404, 422}, answer.text
    assert field in answer.text
    if code is not None:
        assert answer.json()["code"] == code
    assert (await shop.get("/campaigns"))["items"] == []


async def test_what_is_taken_or_fixed_is_a_conflict(shop: Shop) -> None:
    connection = await shop.post("/connections", CONNECTION)
    taken = refused(await shop.call("POST", "/connections", CONNECTION), 409, "name_taken")
    assert taken["field"] == "name"
    meta = {"name": "Agency", "platform": "meta_ads", "fields": {"access_token": "t", "app_secret": "s"}}
    refused(await shop.call("PUT", f"/connections/{connection['id']}", meta), 409, "platform_fixed")
    await shop.post("/campaigns", a_campaign(connection["id"]))
    twice = await shop.call("POST", "/campaigns", a_campaign(connection["id"]))
    assert refused(twice, 409, "campaign_taken")["field"] == "external_id"


async def test_campaigns_come_in_pages(shop: Shop) -> None:
    connection = await shop.post("/connections", CONNECTION)
    names = [f"C{n}" for n in range(5)]
    for name in reversed(names):
        await shop.post("/campaigns", a_campaign(connection["id"], name))
    client = shop.program.client
    client.headers.update(shop.headers)
    assert [one["name"] for one in await every_page(client, f"{BASE}/campaigns", 2)] == names
    for path in ("/campaigns", "/actions", "/alerts"):
        refused(await shop.call("GET", f"{path}?cursor=nonsense"), 422, "invalid_cursor", "cursor")


# -- orders ----------------------------------------------------------------------------------------------------------


async def test_an_order_is_booked_once_a_key_and_told(shop: Shop) -> None:
    campaign = await shop.campaign()
    body = {"reason": "Out of stock", "campaign_ids": [campaign["id"]]}
    first = await shop.post("/actions/pause", body, key="k")
    (order,) = first["actions"]
    assert (order["kind"], order["state"], order["unconfirmed"]) == ("pause", "intent", True)
    assert (await shop.post("/actions/pause", body, key="k"))["actions"][0]["id"] == order["id"]
    other = {**body, "reason": "Another"}
    assert (await shop.call("POST", "/actions/pause", other, key="k")).status_code in {409, 422}
    assert (await shop.get(f"/actions/{order['id']}"))["reason"] == "Out of stock"
    assert [one["id"] for one in (await shop.get("/actions?unconfirmed=true"))["items"]] == [order["id"]]
    assert (await shop.get("/actions?state=confirmed"))["items"] == []
    refused(await shop.call("DELETE", f"/campaigns/{campaign['id']}"), 409, "orders_under_way")
    refused(await shop.call("GET", f"/actions/{new_id()}"), 404, "action_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x", "campaign_ids": ["nothing"]}, "campaign_ids"),
        ({"reason": "x", "product_ids": [new_id()] * 1001}, "product_ids"),
        ({"reason": "x", "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_order_is_refused_by_the_name_of_the_field(shop: Shop, body: Body, field: str) -> None:
    for path in ("/actions/pause", "/actions/resume"):
        answer = await shop.call("POST", path, body)
        assert answer.status_code == 422, answer.text
        assert field in answer.text, answer.text


async def test_orders_come_in_pages_the_newest_first(shop: Shop) -> None:
    campaigns = [await shop.campaign(f"C{n}") for n in range(3)]
    booked = []
    for campaign in campaigns:
        (order,) = (await shop.post("/actions/pause", {"reason": "x", "campaign_ids": [campaign["id"]]}))["actions"]
        booked.append(order["id"])
    client = shop.program.client
    client.headers.update(shop.headers)
    assert [one["id"] for one in await every_page(client, f"{BASE}/actions", 1)] == booked[::-1]


async def test_a_stop_lets_pauses_through_and_nothing_else_and_lists_what_had_left(shop: Shop) -> None:
    campaign = await shop.campaign()
    (order,) = (await shop.post("/actions/pause", {"reason": "x"}))["actions"]
    sent = {"sends": 1, "landing_until": shop.program.app.clock.now() + 60_000_000, "state": "sent"}
    leave = update(ad_actions).where(ad_actions.c.id == order["id"]).values(**sent)
    await shop.program.app.database.bookkeep("prune", lambda c: c.execute(leave).rowcount)
    stop = partial(shop.program.client.post, "/api/admin/emergency/freeze", headers=shop.headers)
    frozen = ok(await stop(json={"reason": "fire", "level": "read_only"}))
    (left,) = frozen["in_flight"]
    assert (left["action_id"], left["kind"], left["platform"]) == (order["id"], "pause", "webhook")
    assert left["campaign_id"] == campaign["id"]
    again = ok(await stop(json={"reason": "fire", "level": "read_only"}))
    assert (again["already"], again["in_flight"]) == (True, frozen["in_flight"])
    assert (await shop.post("/actions/pause", {"reason": "x"}))["actions"][0]["id"] == order["id"]
    for method, path, body in (
        ("POST", "/actions/resume", {"reason": "x"}),
        ("POST", "/connections", CONNECTION),
        ("DELETE", f"/campaigns/{campaign['id']}", None),
        ("POST", "/alert-destinations", DESTINATION),
    ):
        answer = await shop.call(method, path, body)
        assert (answer.status_code, answer.json()["kind"]) == (503, "halted"), (path, answer.text)


# -- alerts ----------------------------------------------------------------------------------------------------------


async def test_a_destination_and_its_alerts_from_adding_to_deleting(shop: Shop) -> None:
    made = await shop.post("/alert-destinations", DESTINATION)
    assert (made["secrets_set"], "hooks.example" in str(made)) == (["url"], False)
    first = await shop.post(f"/alert-destinations/{made['id']}/test", key="k")
    assert (await shop.post(f"/alert-destinations/{made['id']}/test", key="k"))["id"] == first["id"]
    second = await shop.post(f"/alert-destinations/{made['id']}/test")
    client = shop.program.client
    client.headers.update(shop.headers)
    listed = await every_page(client, f"{BASE}/alerts", 1)
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert {one["waiting"] for one in listed} == {1}
    await shop.post(f"/alerts/{first['id']}/acknowledge")
    assert [one["id"] for one in (await shop.get("/alerts?acknowledged=false"))["items"]] == [second["id"]]
    (seen,) = (await shop.get("/alerts?acknowledged=true"))["items"]
    manager = await shop.colleague("negocio")
    await manager.post(f"/alerts/{first['id']}/acknowledge")
    (still,) = (await shop.get("/alerts?acknowledged=true"))["items"]
    assert (still["acknowledged_by"], still["acknowledged_at"]) == (seen["acknowledged_by"], seen["acknowledged_at"])
    ok(await shop.call("DELETE", f"/alert-destinations/{made['id']}"))
    assert {one["failed"] for one in (await shop.get("/alerts"))["items"]} == {1}
    refused(await shop.call("POST", f"/alert-destinations/{made['id']}/test"), 404, "destination_not_found")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"kind": "pigeon"}, "invalid_choice", "kind"),
        ({"least_severity": "mild"}, "invalid_choice", "least_severity"),
        ({"fields": {}}, "missing_field", "url"),
        (
            {
                "kind": "email",
                "fields": {"host": "h", "port": "0", "security": "tls", "sender": "a@b", "recipients": "a@b"},
            },
            "invalid_value",
            "port",
        ),
    ],
)
async def test_a_wrong_destination_is_refused_by_the_name_of_the_field(
    shop: Shop, change: Body, code: str, field: str
) -> None:
    refused(await shop.call("POST", "/alert-destinations", {**DESTINATION, **change}), 422, code, field)
    assert (await shop.get("/alert-destinations"))["items"] == []


# -- who may, and whose --------------------------------------------------------------------------------------------------


async def test_who_may_what(shop: Shop) -> None:
    campaign = await shop.campaign()
    made = await shop.post("/alert-destinations", DESTINATION)
    cashier, manager = await shop.colleague("cashier"), await shop.colleague("negocio")
    for who, forbidden in (
        (cashier, {"resume", "manage", "alerts"}),
        (manager, {"alerts"}),
    ):
        assert (await who.call("POST", "/actions/pause", {"reason": "x"})).status_code == 200
        for what, method, path, body in (
            ("resume", "POST", "/actions/resume", {"reason": "x"}),
            ("manage", "POST", "/connections", {**CONNECTION, "name": new_id()}),
            ("manage", "PUT", f"/campaigns/{campaign['id']}", a_campaign(campaign["connection_id"])),
            ("alerts", "GET", "/alert-destinations", None),
            ("alerts", "DELETE", f"/alert-destinations/{made['id']}", None),
        ):
            answer = await who.call(method, path, body)
            assert answer.status_code == (403 if what in forbidden else 200), (what, path, answer.text)
    for path in (f"/campaigns/{campaign['id']}", f"/connections/{campaign['connection_id']}"):
        refused(await cashier.call("DELETE", path), 403, "forbidden")


async def test_another_shops_things_are_not_found(shop: Shop) -> None:
    campaign = await shop.campaign()
    made = await shop.post("/alert-destinations", DESTINATION)
    alert = await shop.post(f"/alert-destinations/{made['id']}/test")
    (order,) = (await shop.post("/actions/pause", {"reason": "x"}))["actions"]
    stranger = await a_shop(shop.program, "stranger")
    for method, path, body in (
        ("GET", f"/actions/{order['id']}", None),
        ("PUT", f"/connections/{campaign['connection_id']}", CONNECTION),
        ("DELETE", f"/connections/{campaign['connection_id']}", None),
        ("DELETE", f"/campaigns/{campaign['id']}", None),
        ("POST", f"/campaigns/{campaign['id']}/check", None),
        ("POST", f"/alerts/{alert['id']}/acknowledge", None),
        ("PUT", f"/alert-destinations/{made['id']}", DESTINATION),
        ("DELETE", f"/alert-destinations/{made['id']}", None),
        ("POST", f"/alert-destinations/{made['id']}/test", None),
    ):
        answer = await stranger.call(method, path, body)
        assert answer.status_code == 404, (method, path, answer.text)
    theirs = await stranger.post("/actions/pause", {"reason": "x", "campaign_ids": [campaign["id"]]})
    assert theirs["actions"] == []
    refused(
        await stranger.call("POST", "/campaigns", a_campaign(campaign["connection_id"])), 422, "connection_not_found"
    )
    for path in ("/actions", "/connections", "/campaigns", "/alerts", "/alert-destinations"):
        assert (await stranger.get(path))["items"] == [], path
    assert len((await shop.get("/campaigns"))["items"]) == 1
