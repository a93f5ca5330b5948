"""Stock over HTTP: levels, movements, lots and upkeep."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nervio.kernel.ids import new_id
from nervio.modules.catalog.module import MANIFEST as CATALOG
from nervio.modules.stock.module import MANIFEST
from tests.builders import (
    Store,
    a_hold,
    a_location,
    a_product,
    a_receipt,
    a_stocked_product,
    a_store,
    level_of,
)
from tests.modules.served import a_client, every_page, ok, refused

PATH = "/api/stock/movements"
RECEIPT: dict[str, Any] = {"kind": "receipt", "location": "MAIN", "lines": [{"sku": "A", "quantity_milli": 5000}]}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """SQLite alone: what the routes ask of PostgreSQL is in test_routes_on_postgresql."""
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with a_client(store.ctx, MANIFEST, CATALOG) as opened:
        yield opened


# -- levels and movements --------------------------------------------------------------------------------------------


async def _shelves(store: Store) -> list[tuple[str, str]]:
    """Seven products, every other one in two places, and one that was never stocked; their levels in order."""
    await a_location(store, "DEPOSIT")
    expected = []
    for n in range(7):
        product = await a_product(store, f"P-{n}")
        if n == 3:
            continue
        if n % 2:
            await a_receipt(store, product, n + 1, location="DEPOSIT")
            expected.append((product.sku, "DEPOSIT"))
        await a_receipt(store, product, n + 1)
        expected.append((product.sku, "MAIN"))
    return expected


async def test_levels_are_paged_without_loss(store: Store, client: httpx.AsyncClient) -> None:
    expected = await _shelves(store)
    for limit in (1, 2, 3, 8, 9, 500):
        found = await every_page(client, "/api/stock/levels", limit)
        assert [(level["sku"], level["location_code"]) for level in found] == expected
    here = await every_page(client, "/api/stock/levels", 2, location_id=store.main.id)
    assert [level["sku"] for level in here] == ["P-0", "P-1", "P-2", "P-4", "P-5", "P-6"]
    assert [x["location_code"] for x in await every_page(client, "/api/stock/levels", 1, search="p-5")] == [
        "DEPOSIT",
        "MAIN",
    ]
    assert await every_page(client, "/api/stock/levels", 2, location_id=new_id()) == []
    one = ok(await client.get("/api/stock/levels/P-5"))["items"]
    assert [(level["location_code"], level["available_milli"]) for level in one] == [("DEPOSIT", 6000), ("MAIN", 6000)]
    refused(await client.get("/api/stock/levels/GHOST"), 404, "product_not_found")


async def test_many_products_without_stock_are_passed_over(store: Store, client: httpx.AsyncClient) -> None:
    for start in range(0, 3000, 1000):
        products = [{"sku": f"N{n:04}", "name": f"N{n:04}"} for n in range(start, start + 1000)]
        ok(await client.post("/api/products", json={"products": products}))
    ok(await client.post(PATH, json={**RECEIPT, "lines": [{"sku": "N2999", "quantity_milli": 1000}]}), 201)
    assert [level["sku"] for level in await every_page(client, "/api/stock/levels", 50)] == ["N2999"]


async def test_critical_levels_come_scarcest_first(store: Store, client: httpx.AsyncClient) -> None:
    await _shelves(store)
    for sku, critical in (("P-0", 1000), ("P-1", 9000), ("P-2", 2000), ("P-4", 7000), ("P-6", 9000)):
        body = {"location": "MAIN", "sku": sku, "critical_level_milli": critical}
        answer = ok(await client.put("/api/stock/critical-levels", json=body))
        assert (answer["sku"], answer["critical_level_milli"]) == (sku, critical)
    for limit in (1, 2, 3, 4, 5, 500):
        found = await every_page(client, "/api/stock/levels", limit, critical="true")
        assert [level["sku"] for level in found[:1] + found[3:]] == ["P-1", "P-0"]
        assert {level["sku"] for level in found[1:3]} == {"P-4", "P-6"}
    assert [x["sku"] for x in await every_page(client, "/api/stock/levels", 1, critical="true", search="P-4")] == [
        "P-4"
    ]
    cleared = {"location": "MAIN", "sku": "P-1", "critical_level_milli": None}
    ok(await client.put("/api/stock/critical-levels", json=cleared))
    assert len(await every_page(client, "/api/stock/levels", 2, critical="true", location_id=store.main.id)) == 3
    for change, status, field in (
        ({"critical_level_milli": -1}, 422, "critical_level_milli"),
        ({"sku": "GHOST"}, 404, "sku"),
        ({"location": "GHOST"}, 404, "location"),
    ):
        refusal = await client.put("/api/stock/critical-levels", json={**cleared, **change})
        assert (refusal.status_code, refusal.json()["field"]) == (status, field)


async def test_movements_are_paged_without_loss_inside_an_entry(store: Store, client: httpx.AsyncClient) -> None:
    deposit = await a_location(store, "DEPOSIT")
    await a_product(store, "M", by_lot=True)
    lines = [{"sku": "M", "quantity_milli": n * 1000, "lot": f"L{n}"} for n in range(1, 6)]
    ok(await client.post(PATH, json={"kind": "receipt", "location": "MAIN", "lines": lines}), 201)
    move = {
        "kind": "transfer",
        "location": "MAIN",
        "to_location": "DEPOSIT",
        "lines": [{"sku": "M", "quantity_milli": 15000}],
    }
    ok(await client.post(PATH, json=move), 201)
    whole = ok(await client.get(f"{PATH}?product=M&limit=500"))["items"]
    assert sorted(m["quantity_milli"] for m in whole) == [
        *range(-5000, 0, 1000),
        *sorted([*range(1000, 6000, 1000)] * 2),
    ]
    for limit in range(1, 17):
        assert await every_page(client, PATH, limit, product="M") == whole
    for limit in (1, 2, 5):
        there = await every_page(client, PATH, limit, product="M", location_id=deposit.id)
        assert [m["quantity_milli"] for m in there if m["location_id"] == deposit.id] == [
            m["quantity_milli"] for m in whole if m["location_id"] == deposit.id
        ]
        assert len(there) == 5
    refused(await client.get(f"{PATH}?product=GHOST"), 404, "product_not_found")
    refused(await client.get(PATH), 422, "invalid_request", "product")
    refused(await client.get(f"{PATH}?product=M&location_id=MAIN"), 422, "invalid_request", "location_id")
    refused(await client.get(f"{PATH}?product=M&cursor=WyJhIiwxLHRydWVd"), 422, "invalid_cursor", "cursor")


async def test_levels_and_movements_as_csv(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_product(store, "=A")
    ok(
        await client.post(PATH, json={**RECEIPT, "lines": [{"sku": "=A", "quantity_milli": 5250}], "reference": "-1"}),
        201,
    )
    issue = {"kind": "issue", "location": "MAIN", "lines": [{"sku": product.id, "quantity_milli": 250}]}
    ok(await client.post(PATH, json=issue), 201)
    levels = list(csv.DictReader(io.StringIO((await client.get("/api/stock/levels?format=csv")).text)))
    assert [(row["sku"], row["on_hand"], row["critical_level"]) for row in levels] == [("'=A", "5", "")]
    answer = await client.get(PATH, params={"product": "=A"}, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["kind"], row["quantity"], row["reference"]) for row in rows] == [
        ("issue", "-0.25", ""),
        ("receipt", "5.25", "'-1"),
    ]


async def test_the_check_and_the_repair(store: Store, client: httpx.AsyncClient) -> None:
    await a_stocked_product(store, 3)
    report = ok(await client.get("/api/stock/check"))
    assert report == {"sound": True, "levels": 1, "oversold_milli": 0, "discrepancies": []}
    assert ok(await client.post("/api/stock/repair", json={"reason": "Audit"})) == {"corrected": 0}
    refused(await client.post("/api/stock/repair", json={"reason": ""}), 422, "invalid_request", "reason")


# -- who may ---------------------------------------------------------------------------------------------------------

READS = (
    "/api/stock/levels",
    "/api/stock/levels?critical=true",
    "/api/stock/levels/A",
    f"{PATH}?product=A",
    "/api/stock/lots?product=A",
    "/api/stock/holds",
    f"/api/stock/holds/{new_id()}",
    "/api/stock/check",
)
WRITES = (
    ("POST", PATH, "stock.write"),
    ("PUT", "/api/stock/critical-levels", "stock.write"),
    ("POST", "/api/stock/repair", "stock.repair"),
    ("POST", "/api/stock/holds", "stock.hold"),
    ("POST", f"/api/stock/holds/{new_id()}/claim", "stock.hold"),
    ("POST", f"/api/stock/holds/{new_id()}/release", "stock.hold"),
)


async def test_who_may_not_is_told_before_the_body_is_judged(store: Store) -> None:
    async with a_client(store.permitted("stock.read", "catalog.read"), MANIFEST) as reader:
        for method, path, permission in WRITES:
            problem = refused(await reader.request(method, path, json={}), 403, "forbidden")
            assert problem["permission"] == permission
    async with a_client(store.permitted(), MANIFEST) as nobody:
        for path in READS:
            refused(await nobody.get(path), 403, "forbidden")
    async with a_client(None, MANIFEST) as stranger:
        refused(await stranger.post(PATH, json={}), 401, "unauthenticated")


async def test_another_tenant_sees_and_moves_nothing(store: Store) -> None:
    product = await a_stocked_product(store, 5, sku="MINE")
    hold = await a_hold(store, product)
    async with a_client((await store.another_tenant()).ctx, MANIFEST, CATALOG) as other:
        assert ok(await other.get("/api/stock/levels"))["items"] == []
        for name in ("MINE", product.id):
            refused(await other.get(f"/api/stock/levels/{name}"), 404, "product_not_found")
            issue = {"kind": "issue", "location": "MAIN", "lines": [{"sku": name, "quantity_milli": 1000}]}
            refused(await other.post(PATH, json=issue), 404, "product_not_found")
        refused(await other.get(f"/api/stock/holds/{hold.hold_id}"), 404, "hold_not_found")
        refused(await other.post(f"/api/stock/holds/{hold.hold_id}/release"), 404, "hold_not_found")
    assert await level_of(store, product) == (5, 1)
