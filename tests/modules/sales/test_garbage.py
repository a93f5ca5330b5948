"""What a batch made is freed by its reference counts: a cycle in it would stop every till while the collector takes it away."""

import gc

from nervio.modules.sales import api as sales
from tests.builders import Store, a_sale_of, a_stocked_product

TICKETS = 300


async def test_tickets_leave_nothing_for_the_garbage_collector(store: Store) -> None:
    product = await a_stocked_product(store, TICKETS * 2)
    await sales.record_sales(store.ctx, [(a_sale_of((product, 1)), f"warm-{n}") for n in range(TICKETS)])
    gc.collect()
    gc.disable()
    try:
        await sales.record_sales(store.ctx, [(a_sale_of((product, 1)), f"key-{n}") for n in range(TICKETS)])
        assert gc.collect() < TICKETS, "a few objects a batch, not some for each ticket"
    finally:
        gc.enable()
