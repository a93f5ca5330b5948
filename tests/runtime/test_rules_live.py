"""The rules in the running program: a shop sells down to critical over HTTP, and what the scheduler makes of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from nervio.modules.catalog import api as catalog
from nervio.modules.safety.api import alerts
from nervio.modules.safety.api import rules as api
from nervio.modules.sales import api as sales
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import LevelPolicy, StockDocument, StockLine
from nervio.runtime.wiring import App, build
from tests.builders import MAIN, SetClock, Store, a_sale_of, a_stocked_product
from tests.runtime.program import Program, a_program, settings_in

SECONDS = 30.0
"""Far more than a look takes; a rule looks every three seconds."""
RULES = "/api/safety/rules"


async def until(condition: Callable[[], Awaitable[bool]]) -> float:
    """Waits for something that the scheduler does by itself; the seconds it took."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < SECONDS, "it did not happen"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def a_shop_in(app: App) -> Store:
    """The first shop of a program, with its MAIN location."""
    tenant = await app.first_tenant()
    assert tenant is not None
    ctx = app.system_ctx(tenant.id)
    (place,) = await catalog.list_locations(ctx)
    return Store(app.database, SetClock(), ctx, place, "")


async def test_critical_stock_trips_within_seconds_once_over_a_restart_and_clears(tmp_path: Path) -> None:
    async with a_program(tmp_path, ("scheduler", "relay")) as program:
        headers = await program.login()
        await ok(program.client.post("/api/locations", json={"code": MAIN, "name": "Main"}, headers=headers))
        shop = await a_shop_in(program.app)
        soap = await a_stocked_product(shop, 10)
        rice = await a_stocked_product(shop, 10)
        for product in (soap, rice):
            await stock.set_critical_level(shop.ctx, LevelPolicy(MAIN, product.sku, 5_000))
        line = {"sku": soap.sku, "quantity_milli": 5_000}
        payment = {"kind": "cash", "amount_minor": 5 * soap.price_minor}
        body = {"location": MAIN, "lines": [line], "payments": [payment]}
        await ok(program.client.post("/api/sales", json=body, headers=headers))

        async def lit() -> bool:
            found = await ok(program.client.get(f"{RULES}/trips?tripped=true&language=es", headers=headers))
            return [each["outcome"] for each in found["items"]] == ["no_campaigns"]

        assert await until(lit) < SECONDS
        (trip,) = (await ok(program.client.get(f"{RULES}/trips?language=es", headers=headers)))["items"]
        assert trip["sentence"].startswith(f"Quedan 5 de {soap.name} en Main; el nivel crítico es 5")
        assert (trip["product_id"], trip["mode"], trip["cleared_at"]) == (soap.id, "on", None)
        assert [alert.code for alert in await alerts.list_alerts(shop.ctx)] == ["critical_stock"]

    app = build(settings_in(tmp_path))
    async with app.started(("scheduler",)):
        shop = await a_shop_in(app)
        await sales.record_sale(shop.ctx, a_sale_of((rice, 5)))

        async def rice_is_lit() -> bool:
            return rice.id in [trip.product_id for trip in await api.list_trips(shop.ctx)]

        await until(rice_is_lit)
        assert sorted(trip.product_id or "" for trip in await api.list_trips(shop.ctx)) == sorted([soap.id, rice.id])
        restock = StockDocument(MAIN, (StockLine(soap.sku, 20_000),))
        await stock.record_document(shop.ctx, "receipt", restock)

        async def soap_cleared() -> bool:
            return [trip.product_id for trip in await api.list_trips(shop.ctx, tripped=False)] == [soap.id]

        await until(soap_cleared)


async def test_rules_are_read_and_changed_over_http_by_who_may(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = await program.login()
        items = (await ok(program.client.get(RULES, headers=headers)))["items"]
        assert [each["rule"] for each in items] == list(api.KINDS)
        assert {each["rule"] for each in items if each["mode"] == "on"} == {"critical_stock"}
        given = {"rule": "refunds", "settings": {"mode": "on", "trip_excess_bp": 2_000}}
        changed = await ok(program.client.put(RULES, json=given, headers=headers))
        assert (changed["revision"], changed["settings"]["trip_excess_bp"], changed["mode"]) == (1, 2_000, "on")
        assert changed["bounds"]["trip_excess_bp"]["unit"] == "bp"
        await refuses(
            program, headers, {"rule": "refunds", "settings": {"clear_excess_bp": 2_000}}, 422, "clear_excess_bp"
        )
        await refuses(program, headers, {"rule": "refunds", "settings": {"colour": "red"}}, 422, "colour")
        await refuses(program, headers, {"rule": "nothing", "settings": {}}, 404, None)
        person = {"email": "c@shop.test", "name": "C", "roles": ["negocio"]}
        made = await ok(program.client.post("/api/users", json=person, headers=headers))
        manager = await program.login("c@shop.test", made["password"])
        assert (await program.client.get(RULES, headers=manager)).status_code == 200
        assert (await program.client.put(RULES, json=given, headers=manager)).status_code == 403


async def refuses(
    program: Program, headers: dict[str, str], body: dict[str, Any], status: int, setting: str | None
) -> None:
    """The change is refused, and the setting that is wrong is named."""
    answer = await program.client.put(RULES, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    if setting is not None:
        assert f"settings.{setting}" in answer.text


async def ok(answer: Any) -> Any:
    """The body of an answer that must be good."""
    reply = await answer
    assert reply.status_code in {200, 201}, reply.text
    return reply.json()
