"""Sales over HTTP: the till's hot route, returns, write-offs and the lists."""

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nervio.kernel.ids import new_id
from nervio.modules.sales.module import MANIFEST
from nervio.modules.sales.routes.selling import SALE
from tests.builders import Store, a_product, a_sale, a_stocked_product, a_store, assert_sound, level_of
from tests.modules.served import a_client, every_page, fits, ok, refused

PATH = "/api/sales"
LINE: dict[str, Any] = {"sku": "A", "quantity_milli": 2000}
CASH: dict[str, Any] = {"kind": "cash", "amount_minor": 2000}
TICKET: dict[str, Any] = {"location": "MAIN", "lines": [LINE], "payments": [CASH]}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """SQLite alone: what the routes ask of PostgreSQL is in test_routes_on_postgresql."""
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with a_client(store.ctx, MANIFEST) as opened:
        yield opened


# -- selling ---------------------------------------------------------------------------------------------------------


async def test_a_ticket_is_recorded_and_found_by_number_and_id(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 5, sku="A", tax_rate_bp=2100)
    body = {**TICKET, "number": "A-1", "customer": "Ana", "effective_at": "2026-02-28T12:00:00Z"}
    sold = ok(await client.post(PATH, json=body), 201)
    assert fits(SALE, None, body) and fits(SALE, 201, sold)
    assert sold == {
        "id": sold["id"],
        "number": "A-1",
        "location_id": store.main.id,
        "currency": "ARS",
        "net_minor": 1653,
        "tax_minor": 347,
        "total_minor": 2000,
        "payments": [CASH],
        "refused": [],
    }
    ticket = ok(await client.get(f"{PATH}/A-1"))
    assert ok(await client.get(f"{PATH}/{sold['id']}")) == ticket
    assert (ticket["kind"], ticket["customer"], ticket["effective_at"]) == (
        "sale",
        "Ana",
        "2026-02-28T12:00:00.000000Z",
    )
    assert ticket["lines"] == [
        {
            "n": 0,
            "product_id": product.id,
            "sku": "A",
            "name": "Product A",
            "quantity_milli": 2000,
            "unit_price_minor": 1000,
            "tax_rate_bp": 2100,
            "tax_minor": 347,
            "total_minor": 2000,
        }
    ]
    assert await level_of(store, product) == (3, 0)
    await assert_sound(store)


async def test_a_ticket_is_recorded_once_under_its_key(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 5, sku="A")
    headers = {"Idempotency-Key": "till-1"}
    first = ok(await client.post(PATH, json=TICKET, headers=headers), 201)
    assert ok(await client.post(PATH, json=TICKET, headers=headers), 201) == first
    assert (await client.post(PATH, json={**TICKET, "customer": "Eva"}, headers=headers)).status_code == 409
    assert await level_of(store, product) == (3, 0)


async def test_a_partial_ticket_says_what_it_left_out(store: Store, client: httpx.AsyncClient) -> None:
    await a_stocked_product(store, 5, sku="A")
    await a_stocked_product(store, 1, sku="B")
    lines = [LINE, {"sku": "B", "quantity_milli": 3000, "unit_price_minor": 10}]
    body = {**TICKET, "lines": lines, "payments": [{"kind": "card", "amount_minor": 2030}], "partial": True}
    sold = ok(await client.post(PATH, json=body), 201)
    assert fits(SALE, 201, sold)
    assert sold["refused"] == [{"n": 1, "sku": "B", "requested_milli": 3000, "available_milli": 1000}]
    assert sold["payments"] == [{"kind": "card", "amount_minor": 2000}]
    whole = refused(await client.post(PATH, json={**body, "partial": False}), 409, "insufficient_stock")
    assert whole["shortages"] == [{"sku": "B", "requested_milli": 3000, "available_milli": 1000, "expired_milli": 0}]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ([], "wrong_type", "body"),
        ({}, "missing_field", "location"),
        ({**TICKET, "total": 1}, "unknown_field", "total"),
        ({**TICKET, "lines": []}, "out_of_range", "lines"),
        ({**TICKET, "lines": [LINE] * 2001}, "out_of_range", "lines"),
        ({**TICKET, "lines": [{"sku": "A"}]}, "missing_field", "lines[0].quantity_milli"),
        ({**TICKET, "lines": [LINE, {**LINE, "quantity_milli": 0}]}, "out_of_range", "lines[1].quantity_milli"),
        ({**TICKET, "lines": [{**LINE, "quantity_milli": -1}]}, "out_of_range", "lines[0].quantity_milli"),
        ({**TICKET, "lines": [{**LINE, "quantity_milli": 1.5}]}, "wrong_type", "lines[0].quantity_milli"),
        ({**TICKET, "lines": [{**LINE, "quantity_milli": "1"}]}, "wrong_type", "lines[0].quantity_milli"),
        ({**TICKET, "lines": [{**LINE, "quantity_milli": 2**64}]}, "out_of_range", "lines[0].quantity_milli"),
        ({**TICKET, "lines": [{**LINE, "unit_price_minor": -1}]}, "out_of_range", "lines[0].unit_price_minor"),
        ({**TICKET, "lines": [{**LINE, "lot": "L"}]}, "unknown_field", "lines[0].lot"),
        ({**TICKET, "lines": [{**LINE, "sku": "A\x00"}]}, "nul_character", "lines[0].sku"),
        ({**TICKET, "payments": [{"kind": "gold", "amount_minor": 1}]}, "invalid_choice", "payments[0].kind"),
        ({**TICKET, "payments": [{**CASH, "amount_minor": 0}]}, "out_of_range", "payments[0].amount_minor"),
        ({**TICKET, "payments": [CASH] * 21}, "out_of_range", "payments"),
        ({**TICKET, "currency": "ars"}, "invalid_value", "currency"),
        ({**TICKET, "partial": "yes"}, "wrong_type", "partial"),
        ({**TICKET, "number": "x" * 65}, "out_of_range", "number"),
        ({**TICKET, "customer": "\x00"}, "nul_character", "customer"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_by_its_field(
    client: httpx.AsyncClient, body: Any, code: str, field: str
) -> None:
    problem = refused(await client.post(PATH, content=json.dumps(body)), 422, code)
    assert problem["field"] == field
    assert field in problem["detail"]
    assert not fits(SALE, None, body)


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"location": "GHOST"}, 404, "location_not_found", "location"),
        ({"lines": [LINE, {"sku": "GHOST", "quantity_milli": 1}]}, 404, "product_not_found", "lines[1].sku"),
        ({"payments": []}, 422, "payments_do_not_add_up", "payments"),
        ({"payments": [CASH, CASH]}, 422, "payments_do_not_add_up", "payments"),
        ({"effective_at": "2026-03-01"}, 422, "invalid_time", "effective_at"),
        ({"effective_at": "0001-01-01T00:00:00Z"}, 422, "time_out_of_range", "effective_at"),
        ({"number": "TAKEN"}, 409, "number_taken", "number"),
    ],
)
async def test_a_ticket_that_cannot_be_recorded(
    store: Store, client: httpx.AsyncClient, change: dict[str, Any], status: int, code: str, field: str
) -> None:
    product = await a_stocked_product(store, 9, sku="A")
    ok(await client.post(PATH, json={**TICKET, "number": "TAKEN"}), 201)
    problem = refused(await client.post(PATH, json={**TICKET, **change}), status, code)
    assert problem["field"] == field
    if code == "payments_do_not_add_up":
        assert problem["total_minor"] == 2000
    assert await level_of(store, product) == (7, 0)


# -- returns and write-offs ------------------------------------------------------------------------------------------


async def test_goods_come_back_against_their_ticket_and_never_more(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 5, sku="A")
    ok(await client.post(PATH, json={**TICKET, "number": "A-1"}), 201)
    body = {"location": "MAIN", "lines": [{"sku": "A", "quantity_milli": 1500}], "original": "A-1", "reason": "Torn"}
    headers = {"Idempotency-Key": "return-1"}
    back = ok(await client.post("/api/returns", json=body, headers=headers), 201)
    assert (back["total_minor"], back["payments"]) == (1500, [{"kind": "cash", "amount_minor": 1500}])
    assert ok(await client.post("/api/returns", json=body, headers=headers), 201) == back
    more = refused(await client.post("/api/returns", json=body), 409, "more_than_sold", "lines[0].quantity_milli")
    assert more["returnable_milli"] == 500
    assert await level_of(store, product) == (4.5, 0)
    assert ok(await client.get(f"{PATH}/{back['number']}"))["kind"] == "return"
    await assert_sound(store)


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"original": "GHOST"}, 404, "original"),
        ({"lines": []}, 422, "lines"),
        ({"lines": [{"sku": "A", "quantity_milli": 0}]}, 422, "lines[0].quantity_milli"),
        ({"lines": [{"sku": "GHOST", "quantity_milli": 1000}]}, 404, "lines[0].sku"),
        ({"payments": [{"kind": "gold", "amount_minor": 1}]}, 422, "payments[0].kind"),
        ({"payments": [{"kind": "cash", "amount_minor": 1}]}, 422, "payments"),
        ({"effective_at": "now"}, 422, "effective_at"),
        ({"why": ""}, 422, "why"),
    ],
)
async def test_a_return_that_cannot_be_recorded_names_the_field(
    store: Store, client: httpx.AsyncClient, change: dict[str, Any], status: int, field: str
) -> None:
    await a_stocked_product(store, 5, sku="A")
    answer = await client.post("/api/returns", json={"location": "MAIN", "lines": [LINE], **change})
    assert (answer.status_code, answer.json()["field"]) == (status, field)


async def test_taking_back_without_a_ticket_needs_a_permission_of_its_own(store: Store) -> None:
    await a_stocked_product(store, 5, sku="A")
    body = {"location": "MAIN", "lines": [LINE]}
    async with a_client(store.permitted("sales.return"), MANIFEST) as cashier:
        problem = refused(await cashier.post("/api/returns", json=body), 403, "forbidden")
        assert problem["permission"] == "sales.return_blind"
    async with a_client(store.permitted("sales.return", "sales.return_blind"), MANIFEST) as business:
        assert ok(await business.post("/api/returns", json=body), 201)["total_minor"] == 2000


async def test_a_write_off(client: httpx.AsyncClient) -> None:
    body = {"amount_minor": 1500, "currency": "ARS", "reference": "Ana", "reason": "Moved away"}
    assert ok(await client.post("/api/write-offs", json=body), 201)["document_id"]
    for change, field in (
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": 10**16}, "amount_minor"),
        ({"currency": "pesos"}, "currency"),
        ({"reason": ""}, "reason"),
        ({"reason": "a\x00"}, "reason"),
        ({"effective_at": "9999-12-31T23:59:59-12:00"}, "effective_at"),
    ):
        answer = await client.post("/api/write-offs", json={**body, **change})
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


# -- lists -----------------------------------------------------------------------------------------------------------


async def test_tickets_are_paged_and_filtered_without_loss(store: Store, client: httpx.AsyncClient) -> None:
    numbers = []
    for n in range(7):
        numbers.append((await a_sale(store)).number)
        if n % 3:  # some at the same instant
            store.clock.advance(60)
    back = {"location": "MAIN", "lines": [{"sku": "A", "quantity_milli": 1000}]}
    await a_product(store, "A")
    last = ok(await client.post("/api/returns", json=back), 201)["number"]
    expected = [last, *reversed(numbers)]
    for limit in (1, 2, 3, 8, 500):
        assert [t["number"] for t in await every_page(client, PATH, limit)] == expected
    assert [t["number"] for t in await every_page(client, PATH, 2, kind="sale")] == expected[1:]
    assert [t["number"] for t in await every_page(client, PATH, 2, kind="return")] == [last]
    assert [t["number"] for t in await every_page(client, PATH, 2, number=numbers[2])] == [numbers[2]]
    assert len(await every_page(client, PATH, 3, location_id=store.main.id)) == 8
    assert await every_page(client, PATH, 3, location_id=new_id()) == []
    late = await every_page(client, PATH, 2, since="2026-03-01T12:02:00Z")
    early = await every_page(client, PATH, 2, until="2026-03-01T12:02:00Z")
    assert [t["number"] for t in late + early] == expected and late and early


async def test_the_summary_takes_returns_off(store: Store, client: httpx.AsyncClient) -> None:
    await a_stocked_product(store, 9, sku="A")
    for _ in range(3):
        ok(await client.post(PATH, json=TICKET), 201)
    ok(await client.post("/api/returns", json={"location": "MAIN", "lines": [LINE]}), 201)
    span = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}
    assert ok(await client.get(f"{PATH}/summary", params=span)) == {
        "since": "2026-03-01T00:00:00.000000Z",
        "until": "2026-03-02T00:00:00.000000Z",
        "currencies": [{"currency": "ARS", "tickets": 3, "returns": 1, "total_minor": 4000, "tax_minor": 0}],
    }
    turned = {"since": span["until"], "until": span["since"]}
    refused(await client.get(f"{PATH}/summary", params=turned), 422, "empty_span", "until")
    refused(await client.get(f"{PATH}/summary"), 422, "invalid_request", "since")


async def test_tickets_as_csv(store: Store, client: httpx.AsyncClient) -> None:
    await a_stocked_product(store, 5, sku="A")
    ok(await client.post(PATH, json={**TICKET, "customer": "=HYPERLINK()"}), 201)
    rows = list(csv.DictReader(io.StringIO((await client.get(f"{PATH}?format=csv&kind=sale")).text)))
    assert [(row["customer"], row["total"], row["payments"], row["lines"]) for row in rows] == [
        ("'=HYPERLINK()", "20.00", "cash:20.00", "1")
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=gift", "kind"),
        ("since=today", "since"),
        ("until=2026-03-01", "until"),
        ("location_id=MAIN", "location_id"),
        ("number=%00", "number"),
        ("cursor=WzEsImEiXQ", "cursor"),
        ("cursor=WzFlOTksImEiXQ", "cursor"),
        ("page=2", "page"),
    ],
)
async def test_a_wrong_filter_is_named(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


# -- who may ---------------------------------------------------------------------------------------------------------


async def test_who_may_not_is_told_before_the_body_is_judged(store: Store) -> None:
    async with a_client(store.permitted("sales.read"), MANIFEST) as reader:
        for path, permission in (
            (PATH, "sales.write"),
            ("/api/returns", "sales.return"),
            ("/api/write-offs", "sales.write_off"),
        ):
            assert refused(await reader.post(path, json={}), 403, "forbidden")["permission"] == permission
    async with a_client(store.permitted(), MANIFEST) as nobody:
        for path in (PATH, f"{PATH}?format=csv", f"{PATH}/A-1", f"{PATH}/summary"):
            refused(await nobody.get(path), 403, "forbidden")
    async with a_client(None, MANIFEST) as stranger:
        refused(await stranger.post(PATH, json={}), 401, "unauthenticated")


async def test_another_tenant_sees_and_returns_nothing(store: Store) -> None:
    sold = await a_sale(store)
    async with a_client((await store.another_tenant()).ctx, MANIFEST) as other:
        assert ok(await other.get(PATH))["items"] == []
        for name in (sold.number, sold.ticket_id):
            refused(await other.get(f"{PATH}/{name}"), 404, "ticket_not_found")
