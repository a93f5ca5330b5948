"""A process that moves stock on a real database and writes down every call and every answer, until it is killed.

`python -m tests.simulation.clerk URL TENANT SKUS HISTORY SEED SECONDS`: a line is JSON, `[id, SKU, change, "call", time]` or
`[id, SKU, change, "answer", time, answer]`. Times are of the machine's monotonic clock, which all processes share.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import TextIO

from nervio.adapters.clock import SystemClock
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.builders import MAIN, QUEUE_CAPACITY

CALLERS = 2
UNIT = 1000


async def work(ctx: Ctx, product: tuple[str, str], history: TextIO, random: Random, name: str, until: float) -> None:
    """One caller: adds, takes and looks, one call after the other."""
    sku, product_id = product
    n = 0
    while time.monotonic() < until:
        n += 1
        change = random.choice((1, 1, -1, -1, -1, 0))
        line = [f"{name}-{n}", sku, change]
        history.write(json.dumps([*line, "call", time.monotonic()]) + "\n")
        history.flush()
        answer: int | bool | None
        try:
            answer = await _do(ctx, sku, product_id, change)
        except NervioError as refusal:
            answer = None if refusal.kind in {Kind.UNAVAILABLE, Kind.TOO_MANY} else False
        if answer is not None:
            history.write(json.dumps([*line, "answer", time.monotonic(), answer]) + "\n")
            history.flush()
        await asyncio.sleep(random.random() * 0.01)


async def _do(ctx: Ctx, sku: str, product_id: str, change: int) -> int | bool:
    if change == 0:
        return sum(level.on_hand for level in await stock.get_levels(ctx, product_id)) // UNIT
    kind = "receipt" if change > 0 else "issue"
    await stock.record_document(ctx, kind, StockDocument(MAIN, (StockLine(sku, abs(change) * UNIT),)))
    return True


async def main(url: str, tenant_id: str, skus: list[str], path: Path, seed: int, seconds: float) -> None:
    """Opens the database and lets the callers work."""
    database = PostgreSQLDatabase(url, SystemClock(), QUEUE_CAPACITY)
    await database.start()
    ctx = Ctx(tenant_id, "clerk", database, SystemClock())
    products = [(sku, (await catalog.get_product(ctx, sku)).id) for sku in skus]
    until = time.monotonic() + seconds
    with path.open("a", encoding="utf-8") as history:
        await asyncio.gather(
            *(
                work(ctx, product, history, Random(f"{seed}/{sku_n}/{n}"), f"{seed}-{sku_n}-{n}", until)
                for sku_n, product in enumerate(products)
                for n in range(CALLERS)
            )
        )
    await database.close()


if __name__ == "__main__":
    _, url, tenant_id, skus, path, seed, seconds = sys.argv
    asyncio.run(main(url, tenant_id, skus.split(","), Path(path), int(seed), float(seconds)))
