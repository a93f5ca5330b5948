"""What PostgreSQL minds and SQLite forgives in the routes: ids that are none, cursors of other shapes, NUL, order."""

from typing import Any

import httpx
import pytest

from nervio.kernel.ids import new_id
from nervio.modules.catalog.module import MANIFEST as CATALOG
from nervio.modules.ledger.module import MANIFEST as LEDGER
from nervio.modules.sales.module import MANIFEST as SALES
from nervio.modules.stock.module import MANIFEST as STOCK
from tests.builders import a_hold, a_location, a_postgres_store, a_receipt, a_sale, a_stocked_product
from tests.modules.served import a_client, every_page, ok

pytestmark = pytest.mark.services("postgres")

SHARED = ("/api/products", "/api/stock/levels", "/api/stock/holds", "/api/sales", "/api/ledger/entries")


async def test_lists_are_paged_without_loss_and_nothing_odd_breaks_a_query(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        await a_location(store, "DEPOSIT")
        products = [await a_stocked_product(store, 5, sku=sku) for sku in ("a-1", "A-2", "ñ-3", "Z 4")]
        for product in products:
            await a_receipt(store, product, 2, location="DEPOSIT")
            await a_hold(store, product)
            await a_sale(store)
        async with a_client(store.ctx, CATALOG, STOCK, SALES, LEDGER) as client:
            await _sells_and_moves(client, products[0].sku)
            movements = f"/api/stock/movements?product={products[0].id}"
            for path in (*SHARED, movements):
                await _pages_agree(client, path)
            for sku in ("a-1", "A-2"):
                body = {"location": "MAIN", "sku": sku, "critical_level_milli": 9000}
                ok(await client.put("/api/stock/critical-levels", json=body))
            assert len(await every_page(client, "/api/stock/levels", 1, critical="true")) == 2
            assert len(await every_page(client, "/api/stock/holds", 1, product="a-1")) == 1
            await _oddities(client)


async def _sells_and_moves(client: httpx.AsyncClient, sku: str) -> None:
    line = {"sku": sku, "quantity_milli": 1000}
    move = {"kind": "transfer", "location": "MAIN", "to_location": "DEPOSIT", "lines": [line]}
    ok(await client.post("/api/stock/movements", json=move), 201)
    paid = [{"kind": "cash", "amount_minor": 1000}]
    ok(await client.post("/api/sales", json={"location": "MAIN", "lines": [line], "payments": paid}), 201)


async def _pages_agree(client: httpx.AsyncClient, path: str) -> None:
    path, _, query = path.partition("?")
    given = dict(part.split("=") for part in query.split("&")) if query else {}
    whole = await every_page(client, path, 500, **given)
    assert len(whole) > 3, path
    for limit in (1, 2, 3):
        assert await every_page(client, path, limit, **given) == whole, path


async def _oddities(client: httpx.AsyncClient) -> None:
    for odd in ("x", "%00", "%F0%9F%98%80", "a" * 64, new_id(), new_id().upper()):
        for path in (
            f"/api/products/{odd}",
            f"/api/stock/levels/{odd}",
            f"/api/stock/holds/{odd}",
            f"/api/stock/lots?product={odd}",
            f"/api/stock/movements?product={odd}",
            f"/api/stock/levels?location_id={odd}",
            f"/api/sales/{odd}",
            f"/api/sales?location_id={odd}",
            f"/api/ledger/entries/{odd}",
            f"/api/ledger/entries?document_id={odd}",
            *(f"{path}?cursor={odd}" for path in SHARED),
        ):
            assert (await client.get(path)).status_code in {200, 404, 422}, path
    line: dict[str, Any] = {"sku": "not-an-id", "quantity_milli": 1}
    for location in ("not-an-id", new_id()):
        sale = {"location": location, "lines": [line]}
        for path, body in (
            ("/api/sales", sale),
            ("/api/returns", {**sale, "original": "not-an-id"}),
            ("/api/stock/holds", sale),
            ("/api/stock/movements", {**sale, "kind": "receipt"}),
        ):
            assert (await client.post(path, json=body)).status_code == 404, path
