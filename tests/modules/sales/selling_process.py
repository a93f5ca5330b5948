"""A process that sells one unit at a time and tells what became of each key: started by the tests of concurrency.

python -m tests.modules.sales.selling_process URL TENANT SKU CALLERS FIRST_KEY
"""

import asyncio
import json
import sys

from nervio.adapters.clock import SystemClock
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordSale, SaleLine

MOST_ATTEMPTS = 100


async def sell(ctx: Ctx, sku: str, key: str) -> str:
    """Sells one unit under a key, asking again while nothing is known; the ticket's id, or the code of the refusal."""
    sale = RecordSale("MAIN", (SaleLine(sku, 1000),), (Payment(PaymentKind.CASH, 1000),))
    for _ in range(MOST_ATTEMPTS):
        try:
            return (await sales.record_sale(ctx, sale, key)).ticket_id
        except NervioError as refusal:
            if refusal.kind is not Kind.UNAVAILABLE:
                return refusal.code
    return "gave_up"


async def main(url: str, tenant_id: str, sku: str, callers: int, first_key: int) -> None:
    """Prints key → what became of it, as JSON."""
    clock = SystemClock()
    database = PostgreSQLDatabase(url, clock, 10_000)
    await database.start()
    ctx = Ctx(tenant_id, "process", database, clock)
    keys = [f"key-{first_key + n}" for n in range(callers)]
    outcomes = await asyncio.gather(*(sell(ctx, sku, key) for key in keys))
    await database.close()
    sys.stdout.write(json.dumps(dict(zip(keys, outcomes, strict=True))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
