"""Holds over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nervio.kernel.ids import new_id
from nervio.modules.stock.module import MANIFEST
from tests.builders import Store, a_hold, a_product, a_stocked_product, a_store, level_of
from tests.modules.served import a_client, every_page, ok, refused

PATH = "/api/stock/holds"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """SQLite alone: what the routes ask of PostgreSQL is in test_routes_on_postgresql."""
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with a_client(store.ctx, MANIFEST) as opened:
        yield opened


def a_request(units: int = 2, **change: Any) -> dict[str, Any]:
    return {"location": "MAIN", "lines": [{"sku": "A", "quantity_milli": units * 1000}], "reference": "WEB-1", **change}


async def test_a_hold_is_placed_and_claimed(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 5, sku="A")
    placed = ok(await client.post(PATH, json=a_request(seconds=60)), 201)
    assert placed == {"id": placed["id"], "state": "active", "expires_at": "2026-03-01T12:01:00.000000Z"}
    assert await level_of(store, product) == (5, 2)
    assert ok(await client.get(f"{PATH}/{placed['id']}")) == {
        "id": placed["id"],
        "location_id": store.main.id,
        "state": "active",
        "reference": "WEB-1",
        "created_at": "2026-03-01T12:00:00.000000Z",
        "expires_at": "2026-03-01T12:01:00.000000Z",
        "lines": [{"product_id": product.id, "sku": "A", "quantity_milli": 2000}],
    }
    claimed = ok(await client.post(f"{PATH}/{placed['id']}/claim", json={"reference": "A-1"}))
    assert claimed["state"] == "claimed"
    assert await level_of(store, product) == (3, 0)
    problem = refused(await client.post(f"{PATH}/{placed['id']}/release"), 409, "hold_settled")
    assert problem["state"] == "claimed"


async def test_a_hold_is_released_without_a_body(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 5, sku="A")
    placed = ok(await client.post(PATH, json=a_request()), 201)
    assert ok(await client.post(f"{PATH}/{placed['id']}/release"))["state"] == "released"
    assert await level_of(store, product) == (5, 0)


async def test_a_hold_is_placed_once_under_its_key(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 5, sku="A")
    headers = {"Idempotency-Key": "basket-1"}
    first = ok(await client.post(PATH, json=a_request(), headers=headers), 201)
    assert ok(await client.post(PATH, json=a_request(), headers=headers), 201) == first
    assert await level_of(store, product) == (5, 2)


async def test_a_hold_whose_time_is_over_cannot_be_claimed(store: Store, client: httpx.AsyncClient) -> None:
    await a_stocked_product(store, 5, sku="A")
    placed = ok(await client.post(PATH, json=a_request(seconds=60)), 201)
    store.clock.advance(61)
    refused(await client.post(f"{PATH}/{placed['id']}/claim"), 409, "hold_expired")


async def test_a_hold_of_more_than_there_is_says_what_is_short(store: Store, client: httpx.AsyncClient) -> None:
    await a_stocked_product(store, 5, sku="A")
    problem = refused(await client.post(PATH, json=a_request(6)), 409, "insufficient_stock")
    assert problem["shortages"][0]["requested_milli"] == 6000
    assert problem["shortages"][0]["available_milli"] == 5000


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"lines": []}, 422, "lines"),
        ({"lines": [{"sku": "A", "quantity_milli": 0}]}, 422, "lines[0].quantity_milli"),
        ({"lines": [{"sku": "A", "quantity_milli": -1}]}, 422, "lines[0].quantity_milli"),
        ({"lines": [{"sku": "A", "quantity_milli": 10**16}]}, 422, "lines[0].quantity_milli"),
        ({"lines": [{"sku": "A", "quantity_milli": 1, "lot": "L"}]}, 422, "lines[0].lot"),
        ({"lines": [{"sku": "GHOST", "quantity_milli": 1}]}, 404, "lines[0].sku"),
        ({"location": "GHOST"}, 404, "location"),
        ({"location": "M\x00"}, 422, "location"),
        ({"seconds": 0}, 422, "seconds"),
        ({"seconds": 10**9}, 422, "seconds"),
        ({"forever": True}, 422, "forever"),
    ],
)
async def test_a_hold_that_cannot_be_placed_names_the_field(
    store: Store, client: httpx.AsyncClient, change: dict[str, Any], status: int, field: str
) -> None:
    await a_stocked_product(store, 5, sku="A")
    answer = await client.post(PATH, json=a_request(**change))
    assert (answer.status_code, answer.json()["field"]) == (status, field)


async def test_a_hold_that_is_not_there(client: httpx.AsyncClient) -> None:
    for call in (client.get(f"{PATH}/{new_id()}"), client.post(f"{PATH}/{new_id()}/claim")):
        refused(await call, 404, "hold_not_found")
    refused(await client.get(f"{PATH}/WEB-1"), 422, "invalid_request", "hold_id")


async def test_holds_are_paged_and_filtered(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 20)
    other = await a_stocked_product(store, 20, sku="B")
    placed = [(await a_hold(store, product)).hold_id for _ in range(6)]
    last = (await a_hold(store, other)).hold_id
    ok(await client.post(f"{PATH}/{placed[0]}/release"))
    for limit in (1, 2, 3, 7, 500):
        assert [hold["id"] for hold in await every_page(client, PATH, limit)] == [last, *reversed(placed)]
    assert [hold["id"] for hold in await every_page(client, PATH, 2, product="B")] == [last]
    assert [hold["id"] for hold in await every_page(client, PATH, 2, state="released")] == [placed[0]]
    refused(await client.get(f"{PATH}?state=gone"), 422, "invalid_request", "state")
    refused(await client.get(f"{PATH}?product=GHOST"), 404, "product_not_found")
    await a_product(store, "NEVER")
    assert await every_page(client, PATH, 2, product="NEVER") == []
