"""The catalog over HTTP."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nervio.modules.catalog.module import MANIFEST
from tests.builders import Store, a_product, a_store
from tests.modules.served import a_client, every_page, ok, refused

BOOK = {
    "sku": "YER-500",
    "name": "Yerba mate 500 g",
    "unit_price_minor": 285000,
    "currency": "ARS",
    "tax_rate_bp": 2100,
    "category": "Almacén",
    "barcodes": ["7790387000014"],
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """SQLite alone: what the routes ask of PostgreSQL is in test_routes_on_postgresql."""
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with a_client(store.ctx, MANIFEST) as opened:
        yield opened


async def test_a_product_is_created_changed_and_found_by_every_name(client: httpx.AsyncClient) -> None:
    created = ok(await client.post("/api/products", json={"products": [BOOK]}))
    assert (created["created"], created["updated"]) == (1, 0)
    changed = ok(await client.post("/api/products", json={"products": [{**BOOK, "unit_price_minor": 300000}]}))
    assert changed == {"ids": created["ids"], "created": 0, "updated": 1}
    for reference in ("YER-500", "7790387000014", created["ids"][0]):
        found = ok(await client.get(f"/api/products/{reference}"))
        assert found == {
            **BOOK,
            "id": created["ids"][0],
            "unit_price_minor": 300000,
            "unit_cost_minor": None,
            "tracked": True,
            "by_lot": False,
            "active": True,
        }


async def test_a_sku_with_a_slash_is_found(client: httpx.AsyncClient) -> None:
    ok(await client.post("/api/products", json={"products": [{"sku": "A/B 1", "name": "Odd"}]}))
    assert ok(await client.get("/api/products/A%2FB%201"))["sku"] == "A/B 1"


async def test_the_same_key_saves_once_and_another_body_under_it_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "import-1"}
    first = ok(await client.post("/api/products", json={"products": [BOOK]}, headers=headers))
    assert ok(await client.post("/api/products", json={"products": [BOOK]}, headers=headers)) == first
    other = await client.post("/api/products", json={"products": [{**BOOK, "name": "Other"}]}, headers=headers)
    assert other.status_code == 409


async def test_the_list_is_paged_filtered_and_searched(store: Store, client: httpx.AsyncClient) -> None:
    for n in range(7):
        await a_product(store, f"P-{n}", barcodes=(f"779000000000{n}",))
    ok(await client.post("/api/products", json={"products": [{**BOOK, "active": False}]}))
    for limit in (1, 3, 4, 8, 500):
        found = await every_page(client, "/api/products", limit)
        assert [p["sku"] for p in found] == [*(f"P-{n}" for n in range(7)), "YER-500"]
    assert [p["sku"] for p in await every_page(client, "/api/products", 5, search="almacen YERBA")] == ["YER-500"]
    assert [p["sku"] for p in await every_page(client, "/api/products", 5, search="7790000000003")] == ["P-3"]
    assert [p["sku"] for p in await every_page(client, "/api/products", 5, category="Almacén")] == ["YER-500"]
    assert len(await every_page(client, "/api/products", 3, active="true")) == 7


async def test_the_last_page_knows_that_it_is_the_last(store: Store, client: httpx.AsyncClient) -> None:
    for n in range(4):
        await a_product(store, f"P-{n}")
    page = ok(await client.get("/api/products?limit=4"))
    assert len(page["items"]) == 4 and page["next_cursor"] is None


@pytest.mark.parametrize("how", ["query", "header"])
async def test_the_list_as_csv_is_whole_and_cannot_run_formulas(client: httpx.AsyncClient, how: str) -> None:
    dangerous = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =cmd", "＝1", 'He said "hi", twice']
    products = [
        {"sku": f"S{n}", "name": name, "unit_price_minor": 5, "category": "x"} for n, name in enumerate(dangerous)
    ]
    ok(await client.post("/api/products", json={"products": products}))
    if how == "query":
        answer = await client.get("/api/products?format=csv&limit=2")
    else:
        answer = await client.get("/api/products", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="products.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert {row["sku"]: row["name"] for row in rows} == {
        f"S{n}": name if n == 7 else "'" + name for n, name in enumerate(dangerous)
    }
    assert {row["unit_price"] for row in rows} == {"0.05"}


async def test_csv_streams_more_than_a_page(client: httpx.AsyncClient) -> None:
    for start in (0, 1000):
        products = [{"sku": f"S{n:04}", "name": f"N{n:04}"} for n in range(start, start + 700)]
        ok(await client.post("/api/products", json={"products": products}))
    rows = list(csv.DictReader(io.StringIO((await client.get("/api/products?format=csv&search=n")).text)))
    assert [row["sku"] for row in rows] == [f"S{n:04}" for n in (*range(700), *range(1000, 1700))]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "products[0].colour"),
        ({"unit_price_minor": 10.5}, "products[0].unit_price_minor"),
        ({"unit_price_minor": "10"}, "products[0].unit_price_minor"),
        ({"unit_price_minor": True}, "products[0].unit_price_minor"),
        ({"unit_price_minor": -1}, "products[0].unit_price_minor"),
        ({"unit_price_minor": 2**63}, "products[0].unit_price_minor"),
        ({"unit_price_minor": 10**400}, "products[0].unit_price_minor"),
        ({"tax_rate_bp": 10001}, "products[0].tax_rate_bp"),
        ({"name": ""}, "products[0].name"),
        ({"name": "a\x00b"}, "products[0].name"),
        ({"name": "x" * 401}, "products[0].name"),
        ({"name": None}, "products[0].name"),
        ({"sku": ""}, "products[0].sku"),
        ({"sku": " A"}, "products[0].sku"),
        ({"sku": 5}, "products[0].sku"),
        ({"currency": "pesos"}, "products[0].currency"),
        ({"barcodes": "779"}, "products[0].barcodes"),
        ({"barcodes": ["ok", ""]}, "products[0].barcodes[1]"),
        ({"tracked": "yes"}, "products[0].tracked"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, change: dict[str, Any], field: str) -> None:
    answer = await client.post("/api/products", json={"products": [{**BOOK, **change}]})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert field in answer.json()["detail"]


@pytest.mark.parametrize("products", [[], [BOOK] * 1001, None, {"0": BOOK}])
async def test_a_list_that_is_none_is_named(client: httpx.AsyncClient, products: object) -> None:
    assert (await client.post("/api/products", json={"products": products})).json()["field"] == "products"


async def test_a_price_the_use_case_refuses_is_named_as_it_was_sent(client: httpx.AsyncClient) -> None:
    twice = await client.post("/api/products", json={"products": [BOOK, BOOK]})
    refused(twice, 422, "duplicate_sku", "products[1].sku")


async def test_conflicts_of_products(client: httpx.AsyncClient) -> None:
    ok(await client.post("/api/products", json={"products": [BOOK]}))
    taken = await client.post("/api/products", json={"products": [{**BOOK, "sku": "OTHER"}]})
    refused(taken, 409, "barcode_taken")
    fixed = await client.post("/api/products", json={"products": [{**BOOK, "by_lot": True}]})
    refused(fixed, 409, "stock_keeping_fixed")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("cursor=!!", "cursor"),
        ("cursor=e30", "cursor"),
        ("cursor=WyJhIiwiYiJd", "cursor"),
        ("searhc=a", "searhc"),
        ("search=%00", "search"),
        ("active=perhaps", "active"),
        ("format=xml", "format"),
    ],
)
async def test_a_wrong_filter_is_named(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"/api/products?{query}")
    assert answer.status_code == 422
    assert answer.json()["field"] == field


async def test_a_product_that_is_not_there(client: httpx.AsyncClient) -> None:
    refused(await client.get("/api/products/NOPE"), 404, "product_not_found")
    assert (await client.get("/api/products/%00")).status_code == 422


async def test_locations_and_categories(client: httpx.AsyncClient) -> None:
    made = ok(await client.post("/api/locations", json={"code": "VAN", "name": "Van", "allow_negative": True}))
    again = ok(await client.post("/api/locations", json={"code": "VAN", "name": "The van", "allow_negative": True}))
    assert again == {**made, "name": "The van"}
    assert [place["code"] for place in ok(await client.get("/api/locations"))["items"]] == ["MAIN", "VAN"]
    fixed = await client.post("/api/locations", json={"code": "VAN", "name": "Van", "allow_negative": False})
    refused(fixed, 409, "negative_policy_fixed")
    refused(await client.post("/api/locations", json={"code": "", "name": "x"}), 422, "invalid_request", "code")
    ok(await client.post("/api/products", json={"products": [BOOK]}))
    assert ok(await client.get("/api/categories")) == {"items": ["Almacén"], "next_cursor": None}


async def test_who_may_not_is_told_before_the_body_is_judged(store: Store) -> None:
    async with a_client(store.permitted("catalog.read"), MANIFEST) as reader:
        assert (await reader.get("/api/products")).status_code == 200
        for path in ("/api/products", "/api/locations"):
            problem = refused(await reader.post(path, json={}), 403, "forbidden")
            assert problem["permission"] == "catalog.write"
    async with a_client(store.permitted(), MANIFEST) as nobody:
        for path in (
            "/api/products",
            "/api/products?format=csv",
            "/api/products/A",
            "/api/locations",
            "/api/categories",
        ):
            refused(await nobody.get(path), 403, "forbidden")
    async with a_client(None, MANIFEST) as stranger:
        refused(await stranger.get("/api/products"), 401, "unauthenticated")


async def test_another_tenant_sees_nothing(store: Store, client: httpx.AsyncClient) -> None:
    await a_product(store, "MINE")
    async with a_client((await store.another_tenant()).ctx, MANIFEST) as other:
        assert ok(await other.get("/api/products"))["items"] == []
        refused(await other.get("/api/products/MINE"), 404, "product_not_found")
