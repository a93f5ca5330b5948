"""Stock documents over HTTP: one or many by the hot route."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nervio.modules.catalog.module import MANIFEST as CATALOG
from nervio.modules.stock.module import MANIFEST
from nervio.modules.stock.routes.documents import MOVEMENTS
from tests.builders import (
    Store,
    a_location,
    a_product,
    a_stocked_product,
    a_store,
    assert_sound,
    level_of,
)
from tests.modules.served import a_client, fits, ok, refused

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


async def test_one_document_is_booked(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_product(store, "A")
    body = {**RECEIPT, "reference": "R-1", "effective_at": "2026-02-01T10:00:00-03:00"}
    answer = ok(await client.post(PATH, json=body), 201)
    assert fits(MOVEMENTS, None, body) and fits(MOVEMENTS, 201, answer)
    assert answer == {
        "status": "recorded",
        "document_id": answer["document_id"],
        "reference": "R-1",
        "levels": [
            {
                "product_id": product.id,
                "sku": "A",
                "location_id": store.main.id,
                "quantity_milli": 5000,
                "on_hand_milli": 5000,
                "reserved_milli": 0,
                "available_milli": 5000,
            }
        ],
        "broken_holds": [],
    }
    movement = ok(await client.get(f"{PATH}?product=A"))["items"][0]
    assert movement["effective_at"] == "2026-02-01T13:00:00.000000Z"


async def test_every_kind_of_document(store: Store, client: httpx.AsyncClient) -> None:
    await a_product(store, "A")
    await a_product(store, "M", by_lot=True)
    await a_location(store, "DEPOSIT")
    lot = {"sku": "M", "quantity_milli": 3000, "lot": "L7", "expires_on": "2026-09-30"}
    documents = [
        RECEIPT,
        {"kind": "receipt", "location": "DEPOSIT", "lines": [lot]},
        {"kind": "issue", "location": "MAIN", "lines": [{"sku": "A", "quantity_milli": 1000}]},
        {
            "kind": "transfer",
            "location": "DEPOSIT",
            "to_location": "MAIN",
            "lines": [{"sku": "M", "quantity_milli": 1000}],
        },
        {"kind": "adjustment", "location": "MAIN", "lines": [{"sku": "A", "quantity_milli": -500}], "reason": "Broken"},
        {"kind": "count", "location": "MAIN", "lines": [{"sku": "A", "quantity_milli": 0}]},
    ]
    body = {"documents": documents}
    answer = ok(await client.post(PATH, json=body))
    assert fits(MOVEMENTS, None, body) and fits(MOVEMENTS, 200, answer)
    assert [result["status"] for result in answer["results"]] == ["recorded"] * 6
    assert [level["quantity_milli"] for level in answer["results"][3]["levels"]] == [-1000, 1000]
    assert answer["results"][5]["levels"][0]["on_hand_milli"] == 0
    lots = ok(await client.get("/api/stock/lots?product=M"))["items"]
    assert sorted((place["on_hand_milli"], place["lot"], place["expires_on"]) for place in lots) == [
        (1000, "L7", "2026-09-30"),
        (2000, "L7", "2026-09-30"),
    ]
    await assert_sound(store)


async def test_each_document_of_a_list_has_its_own_verdict(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 2, sku="A")
    line = {"sku": "A", "quantity_milli": 1000}
    documents = [
        {"kind": "issue", "location": "MAIN", "lines": [line]},
        {"kind": "issue", "location": "MAIN", "lines": [line, {**line, "quantity_milli": 8000}]},
        {"kind": "issue", "location": "MAIN", "lines": [{**line, "quantity_milli": -1}]},
        {"kind": "issue", "location": "NOWHERE", "lines": [line]},
        {"kind": "issue", "location": "MAIN", "lines": [line, {**line, "sku": "GHOST"}]},
        {**RECEIPT, "effective_at": "yesterday"},
        {**RECEIPT, "lines": [{**line, "expires_on": "2026-13-01"}]},
        {"kind": "issue", "location": "MAIN", "lines": [line]},
    ]
    answer = ok(await client.post(PATH, json={"documents": documents}))
    assert fits(MOVEMENTS, 200, answer)
    verdicts = [
        (
            r["status"],
            *((r["problem"]["code"], r["problem"]["status"], r["problem"]["field"]) if "problem" in r else ()),
        )
        for r in answer["results"]
    ]
    assert verdicts == [
        ("recorded",),
        ("refused", "insufficient_stock", 409, "lines"),
        ("refused", "negative_quantity", 422, "lines[0].quantity_milli"),
        ("refused", "location_not_found", 404, "location"),
        ("refused", "product_not_found", 404, "lines[1].sku"),
        ("refused", "invalid_time", 422, "effective_at"),
        ("refused", "invalid_date", 422, "lines[0].expires_on"),
        ("recorded",),
    ]
    short = answer["results"][1]["problem"]["shortages"]
    assert short == [{"sku": "A", "requested_milli": 9000, "available_milli": 1000, "expired_milli": 0}]
    assert await level_of(store, product) == (0, 0)


async def test_documents_are_booked_once_under_their_keys(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_product(store, "A")
    headers = {"Idempotency-Key": "K"}
    one = ok(await client.post(PATH, json=RECEIPT, headers=headers), 201)
    assert ok(await client.post(PATH, json=RECEIPT, headers=headers), 201) == one
    assert ok(await client.post(PATH, json={**RECEIPT, "idempotency_key": "K"}), 201) == one
    many = {"documents": [RECEIPT, RECEIPT, {**RECEIPT, "idempotency_key": "own"}]}
    first = ok(await client.post(PATH, json=many, headers={"Idempotency-Key": "B"}))
    assert ok(await client.post(PATH, json=many, headers={"Idempotency-Key": "B"})) == first
    assert await level_of(store, product) == (20, 0)
    other = {**RECEIPT, "reference": "other"}
    assert (await client.post(PATH, json=other, headers=headers)).status_code == 409
    both = await client.post(PATH, json={**RECEIPT, "idempotency_key": "L"}, headers=headers)
    refused(both, 422, "two_idempotency_keys", "idempotency_key")
    long = await client.post(PATH, json=RECEIPT, headers={"Idempotency-Key": "k" * 201})
    refused(long, 422, "invalid_idempotency_key", "Idempotency-Key")


_LINE = {"sku": "A", "quantity_milli": 1000}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ([], "wrong_type", "body"),
        (None, "wrong_type", "body"),
        ({}, "missing_field", "kind"),
        ({"documents": []}, "out_of_range", "documents"),
        ({"documents": {}}, "wrong_type", "documents"),
        ({"documents": [RECEIPT], "kind": "issue"}, "unknown_field", "kind"),
        ({"documents": [{**RECEIPT, "lines": []}]}, "out_of_range", "documents[0].lines"),
        ({"documents": [RECEIPT, {**RECEIPT, "colour": 1}]}, "unknown_field", "documents[1].colour"),
        ({**RECEIPT, "kind": "gift"}, "invalid_choice", "kind"),
        ({**RECEIPT, "kind": 1}, "wrong_type", "kind"),
        ({**RECEIPT, "location": ""}, "out_of_range", "location"),
        ({**RECEIPT, "location": None}, "wrong_type", "location"),
        ({**RECEIPT, "location": "M\x00"}, "nul_character", "location"),
        ({**RECEIPT, "reason": "x" * 1001}, "out_of_range", "reason"),
        ({**RECEIPT, "lines": [_LINE] * 2001}, "out_of_range", "lines"),
        ({**RECEIPT, "lines": [{"sku": "A"}]}, "missing_field", "lines[0].quantity_milli"),
        ({**RECEIPT, "lines": [_LINE, {**_LINE, "quantity_milli": 1.5}]}, "wrong_type", "lines[1].quantity_milli"),
        ({**RECEIPT, "lines": [{**_LINE, "quantity_milli": "1000"}]}, "wrong_type", "lines[0].quantity_milli"),
        ({**RECEIPT, "lines": [{**_LINE, "quantity_milli": True}]}, "wrong_type", "lines[0].quantity_milli"),
        ({**RECEIPT, "lines": [{**_LINE, "quantity_milli": 2**63}]}, "out_of_range", "lines[0].quantity_milli"),
        ({**RECEIPT, "lines": [{**_LINE, "quantity_milli": 10**400}]}, "out_of_range", "lines[0].quantity_milli"),
        ({**RECEIPT, "lines": [{**_LINE, "quantity_milli": -(10**15) - 1}]}, "out_of_range", "lines[0].quantity_milli"),
        ({**RECEIPT, "lines": [{**_LINE, "lot": "L\x00"}]}, "nul_character", "lines[0].lot"),
        ({**RECEIPT, "lines": [{**_LINE, "lote": "L"}]}, "unknown_field", "lines[0].lote"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_by_its_field(
    store: Store, client: httpx.AsyncClient, body: Any, code: str, field: str
) -> None:
    await a_product(store, "A")
    answer = await client.post(PATH, content=json.dumps(body))
    problem = refused(answer, 422, code)
    assert problem["field"] == field
    assert field in problem["detail"]
    assert not fits(MOVEMENTS, None, body)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'{"kind": "\xff"}', b'{"kind": "\\ud800"}', b"{} {}", b'{"a":' * 100_000]
)
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, raw: bytes) -> None:
    problem = refused(await client.post(PATH, content=raw), 422, "malformed_json")
    assert problem["field"] == "body"


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"kind": "issue"}, 409, "insufficient_stock", "lines"),
        ({"lines": [{"sku": "A", "quantity_milli": 0}]}, 422, "zero_quantity", "lines[0].quantity_milli"),
        ({"lines": [{"sku": "A", "quantity_milli": -5}]}, 422, "negative_quantity", "lines[0].quantity_milli"),
        ({"location": "GHOST"}, 404, "location_not_found", "location"),
        ({"kind": "transfer"}, 422, "to_location_required", "to_location"),
        ({"kind": "transfer", "to_location": "MAIN"}, 422, "same_location", "to_location"),
        ({"kind": "transfer", "to_location": "GHOST"}, 404, "location_not_found", "to_location"),
        ({"lines": [{"sku": "GHOST", "quantity_milli": 1}]}, 404, "product_not_found", "lines[0].sku"),
        ({"lines": [{"sku": "SERVICE", "quantity_milli": 1}]}, 422, "not_stocked", "lines[0].sku"),
        ({"lines": [{"sku": "LOTTED", "quantity_milli": 1}]}, 422, "lot_required", "lines[0].lot"),
    ],
)
async def test_a_document_that_cannot_be_booked(
    store: Store, client: httpx.AsyncClient, change: dict[str, Any], status: int, code: str, field: str
) -> None:
    await a_product(store, "A")
    await a_product(store, "SERVICE", tracked=False)
    await a_product(store, "LOTTED", by_lot=True)
    problem = refused(await client.post(PATH, json={**RECEIPT, **change}), status, code)
    assert problem["field"] == field
