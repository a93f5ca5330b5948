"""The journal over HTTP."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from nervio.kernel.ids import new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.module import MANIFEST
from tests.builders import Store, a_hold, a_sale, a_stocked_product, a_store
from tests.modules.served import a_client, every_page, ok, refused

PATH = "/api/ledger/entries"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """SQLite alone: what the routes ask of PostgreSQL is in test_routes_on_postgresql."""
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with a_client(store.ctx, MANIFEST) as opened:
        yield opened


async def test_a_sale_is_found_in_the_journal_from_every_side(store: Store, client: httpx.AsyncClient) -> None:
    ticket = await a_sale(store, units=2)
    await a_sale(store)
    entry = ok(await client.get(PATH, params={"document_id": ticket.ticket_id}))["items"][0]
    assert (entry["kind"], entry["reference"], entry["actor_id"]) == ("sale", ticket.number, "tester")
    assert ok(await client.get(f"{PATH}/{entry['id']}")) == entry
    stock, money = entry["postings"]
    assert (stock["debit"], stock["credit"], stock["unit"], stock["amount"]) == (
        "sold",
        f"stock:{store.main.id}",
        "milli",
        2000,
    )
    assert (money["debit"], money["credit"], money["asset"], money["unit"], money["amount"]) == (
        "cash",
        "sales",
        "ARS",
        "minor",
        2000,
    )
    assert [e["id"] for e in await every_page(client, PATH, 5, asset=stock["asset"], kind="sale")] == [entry["id"]]
    assert [e["id"] for e in await every_page(client, PATH, 5, reference=ticket.number)] == [entry["id"]]
    assert len(await every_page(client, PATH, 1, account="cash")) == 2
    assert len(await every_page(client, PATH, 1, account="supplied")) == 2


async def test_entries_are_paged_without_loss(store: Store, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await a_sale(store)
    whole = [entry["id"] for entry in await every_page(client, PATH, 500)]
    assert len(whole) == len(set(whole)) == 6 and whole == sorted(whole, reverse=True)
    for limit in (1, 2, 4, 5, 6, 7):
        assert [entry["id"] for entry in await every_page(client, PATH, limit)] == whole


async def test_balances_sum_to_zero(store: Store, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await a_sale(store)
    balances = ok(await client.get("/api/ledger/balances"))["items"]
    assert {(b["account"], b["currency"]): b["amount_minor"] for b in balances} == {
        ("cash", "ARS"): 3000,
        ("sales", "ARS"): -3000,
    }


async def test_the_journal_as_csv_has_a_row_a_posting(store: Store, client: httpx.AsyncClient) -> None:
    product = await a_stocked_product(store, 2.5)
    await a_hold(store, product)
    await a_sale(store)
    rows = list(csv.DictReader(io.StringIO((await client.get(f"{PATH}?format=csv")).text)))
    assert [(row["kind"], row["amount"]) for row in rows] == [
        ("sale", "1"),
        ("sale", "10.00"),
        ("receipt", "1"),
        ("hold_placed", ""),
        ("receipt", "2.5"),
    ]


async def test_an_entry_that_is_not_there(client: httpx.AsyncClient) -> None:
    refused(await client.get(f"{PATH}/{new_id()}"), 404, "entry_not_found")
    refused(await client.get(f"{PATH}/1"), 422, "invalid_request", "entry_id")
    refused(await client.get(f"{PATH}?cursor=WyJhIl0"), 422, "invalid_cursor", "cursor")
    refused(await client.get(f"{PATH}?acount=cash"), 422, "invalid_request", "acount")


async def test_the_journal_needs_its_permission_and_is_the_tenants_own(store: Store) -> None:
    await a_sale(store)
    async with a_client(store.permitted("sales.read"), MANIFEST) as cashier:
        for path in (PATH, f"{PATH}?format=csv", f"{PATH}/{new_id()}", "/api/ledger/balances"):
            refused(await cashier.get(path), 403, "forbidden")
    async with a_client((await store.another_tenant()).ctx, MANIFEST) as other:
        assert ok(await other.get(PATH))["items"] == []
        assert ok(await other.get("/api/ledger/balances"))["items"] == []


async def test_entries_come_oldest_first_when_asked_and_can_be_walked_back(
    store: Store, client: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await a_sale(store)
    newest = [entry["id"] for entry in await every_page(client, PATH, 2)]
    assert newest == sorted(newest, reverse=True)
    assert [entry["id"] for entry in await every_page(client, PATH, 2, order="oldest")] == newest[::-1]
    for oldest_first, order in ((False, newest), (True, newest[::-1])):
        back = await ledger.list_entries(store.ctx, after=order[4], limit=3, oldest_first=oldest_first, backwards=True)
        assert [entry.id for entry in back] == order[1:4]
    refused(await client.get(PATH, params={"order": "sideways"}), 422, "invalid_request", "order")
