"""Balances are derived: at any moment they equal what the whole journal adds up to."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.usecases.folding import BalancesFold
from nervio.modules.sales import api as sales
from tests.builders import Store, a_sale_of, a_stocked_product, a_store

WHOLE = """
SELECT account, asset, sum(amount) FROM (
    SELECT tenant_id, debit AS account, asset, amount FROM journal_postings
    UNION ALL SELECT tenant_id, credit, asset, -amount FROM journal_postings) AS sides
WHERE CAST(tenant_id AS TEXT) = :tenant AND length(asset) = 3 GROUP BY account, asset ORDER BY asset, account
"""


async def are_right(store: Store) -> None:
    def add_up(connection: Connection) -> list[tuple[str, str, int]]:
        rows = connection.execute(text(WHOLE), {"tenant": store.ctx.tenant_id})
        return [(row[0], row[1], int(row[2])) for row in rows]

    expected = await store.database.read(add_up)
    assert [(b.account, b.asset, b.amount) for b in await ledger.list_balances(store.ctx)] == expected


@given(
    steps=st.lists(st.sampled_from(["sell", "sell_many", "sell_elsewhere", "fold"]), max_size=12),
    commits_at_once=st.integers(1, 5),
)
@settings(max_examples=20, deadline=None)
def test_balances_are_the_sum_of_the_journal_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], commits_at_once: int
) -> None:
    asyncio.run(_play(tmp_path_factory.mktemp("balances"), steps, commits_at_once))


async def _play(folder: Path, steps: list[str], commits_at_once: int) -> None:
    fold = BalancesFold(commits_at_once)
    async with a_store(folder) as store:
        other = await store.another_tenant()
        ours, theirs = await a_stocked_product(store, 1000), await a_stocked_product(other, 1000, currency="USD")
        for step in steps:
            match step:
                case "sell":
                    await sales.record_sale(store.ctx, a_sale_of((ours, 1)))
                case "sell_many":
                    await sales.record_sales(store.ctx, [(a_sale_of((ours, 2)), None) for _ in range(3)])
                case "sell_elsewhere":
                    await sales.record_sale(other.ctx, a_sale_of((theirs, 1)))
                case _:
                    await fold.run(store.ctx)
            await are_right(store)
            await are_right(other)
        assert (await ledger.audit(store.ctx)).findings == ()


async def test_folding_and_selling_at_once_keep_them_right(store: Store) -> None:
    product = await a_stocked_product(store, 1000)
    folds = [BalancesFold(3), BalancesFold(2)]
    for fold in folds:
        fold._leading._seconds = 0.0  # each takes over from the other again and again
    rng = random.Random(1)

    async def sell() -> None:
        for _ in range(40):
            await sales.record_sale(store.ctx, a_sale_of((product, rng.randrange(1, 4))))
            store.clock.advance(0.001)

    async def go_on(one: BalancesFold) -> None:
        for _ in range(10):
            await one.run(store.ctx)

    async def look() -> None:
        for _ in range(20):
            balances = await ledger.list_balances(store.ctx)
            assert sum(balance.amount for balance in balances) == 0

    await asyncio.gather(sell(), go_on(folds[0]), go_on(folds[1]), look())
    await are_right(store)
    store.clock.advance(60)
    await BalancesFold().run(store.ctx)
    await are_right(store)
    assert (await ledger.audit(store.ctx)).findings == ()
