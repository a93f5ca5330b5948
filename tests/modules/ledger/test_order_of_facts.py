"""Positions are dense and never contradict a reading, however many connections write at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.sequencer import number_commits
from nervio.kernel.quantity import UNIT
from nervio.modules.ledger import api as ledger
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine, StockRecorded
from tests.builders import QUEUE_CAPACITY, Store, a_postgres_store, a_product, a_receipt
from tests.modules.ledger.journals import a_sealing

WRITERS = 5
ROUNDS = 25
PRODUCTS = 3


@pytest.mark.services("postgres")
async def test_order_contradicts_no_reading_and_has_no_gaps(postgres_url: str, tmp_path: Path) -> None:
    """Every issue reads the level that the one before it left. Replayed in the order of positions, each must find just
    the level that it found; the sequencer and a sealer run in the middle of it."""
    async with a_postgres_store(postgres_url) as store:
        products = [await a_product(store) for _ in range(PRODUCTS)]
        for product in products:
            await a_receipt(store, product, 1000)
        skus = [product.sku for product in products]
        others = [PostgreSQLDatabase(store.address, store.clock, QUEUE_CAPACITY) for _ in range(WRITERS)]
        for other in others:
            await other.start()
        sealing = a_sealing(tmp_path)
        try:
            writing = asyncio.gather(*(_issue(store, other, n, skus) for n, other in enumerate(others)))
            sealer = ledger.make_sealer(sealing)
            while not writing.done():
                await store.database.bookkeep("sequence", number_commits)
                await sealer.run(store.ctx)
                await asyncio.sleep(0.005)
            found = {recorded.document_id: recorded for many in await writing for recorded in many}
        finally:
            for other in others:
                await other.close()
        await sealer.run(store.ctx)
        rows = await store.database.read(_entries_in_order)
        positions = sorted({row.position for row in rows})
        assert len(found) == WRITERS * ROUNDS
        assert await store.database.read(_are_dense)
        assert len(positions) > WRITERS
        levels = {product.id: 1000 * UNIT for product in products}
        for row in rows:
            if row.kind == "issue":
                (after,) = found[row.document_id].levels
                levels[after.product_id] -= UNIT
                assert after.on_hand == levels[after.product_id], f"position {row.position} contradicts what was read"
        result = await ledger.audit(store.ctx, ledger.read_heads(sealing.heads_path), [sealing.signer.public_key])
        assert result.findings == ()
        assert result.blocks > 1


async def _issue(store: Store, database: PostgreSQLDatabase, writer: int, skus: list[str]) -> list[StockRecorded]:
    ctx = Ctx(store.ctx.tenant_id, f"writer-{writer}", database, store.clock)
    recorded = []
    for number in range(ROUNDS):
        document = StockDocument("MAIN", (StockLine(skus[(writer + number) % PRODUCTS], UNIT),))
        recorded.append(await stock.record_document(ctx, "issue", document, f"{writer}-{number}"))
    return recorded


def _entries_in_order(connection: Connection) -> list[Any]:
    return list(
        connection.execute(
            text(
                "SELECT c.position, e.kind, e.document_id FROM commits c JOIN journal_entries e ON e.commit_id = c.id "
                "ORDER BY c.position, e.n"
            )
        )
    )


def _are_dense(connection: Connection) -> bool:
    row = connection.execute(text("SELECT count(*), count(position), min(position), max(position) FROM commits")).one()
    return bool(row[0] == row[1] == row[3] and row[2] == 1)
