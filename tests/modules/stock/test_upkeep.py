"""The constraints behind the books, the checker that finds planted damage, and the repair that books its corrections."""

import asyncio

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from nervio.kernel.errors import NervioError
from nervio.modules.ledger import api as ledger
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.builders import MAIN, Store, a_hold, a_product, a_receipt, a_stocked_product, assert_sound, level_of, milli


async def damage(store: Store, statement: str) -> None:
    """Runs SQL behind the program's back, on the one row that the store's tenant has of it."""
    joint = "AND" if "WHERE" in statement else "WHERE"
    own = text(f"{statement} {joint} tenant_id = :tenant")

    def run(connection: Connection) -> None:
        assert connection.execute(own, {"tenant": store.ctx.tenant_id}).rowcount == 1

    await store.database.bookkeep("lease", run)


async def found(store: Store) -> list[tuple[str, str, int, int]]:
    """(invariant, lot, recorded, expected) of every discrepancy."""
    report = await stock.check_invariants(store.ctx)
    return [(d.invariant, d.lot, d.recorded, d.expected) for d in report.discrepancies]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock_levels SET on_hand = on_hand - 7000",
        "UPDATE stock_levels SET on_hand = -1, reserved = 0",
        "UPDATE stock_levels SET reserved = 10001",
        "UPDATE stock_levels SET reserved = -1",
        "UPDATE stock_lots SET on_hand = -1",
        "UPDATE stock_hold_lines SET quantity = 0",
        "UPDATE stock_holds SET state = 'forgotten'",
    ],
)
async def test_the_database_refuses_to_oversell_whatever_code_there_is(store: Store, statement: str) -> None:
    product = await a_stocked_product(store, 10, by_lot=True)
    await a_hold(store, product, 4)
    with pytest.raises(IntegrityError):
        await damage(store, statement)
    await assert_sound(store)


async def test_a_level_that_was_tampered_with_is_found_repaired_and_the_repair_is_in_the_journal(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await damage(store, "UPDATE stock_levels SET on_hand = 25000")
    assert await found(store) == [("level_equals_journal", "", 25_000, 10_000)]
    assert (await stock.repair(store.ctx, "somebody used SQL")).corrected == 1
    assert await level_of(store, product) == (10, 0)
    await assert_sound(store)
    (entry,) = await ledger.list_entries(store.ctx, kind="stock_repair")
    assert entry.details is not None
    assert entry.details["reason"] == "somebody used SQL"
    assert [(c["from"], c["to"]) for c in entry.details["corrected"]] == [(25_000, 10_000)]
    assert (await stock.repair(store.ctx, "again")).corrected == 0


async def test_promises_that_no_hold_accounts_for_are_found_and_repaired(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await a_hold(store, product, 4)
    await damage(store, "UPDATE stock_levels SET reserved = 9000")
    assert await found(store) == [("reserved_equals_holds", "", 9000, 4000)]
    await stock.repair(store.ctx, "leaked")
    assert await level_of(store, product) == (10, 4)
    await assert_sound(store)


@pytest.mark.parametrize("units", [0, 3000, 9000])
async def test_a_lot_that_was_tampered_with_is_found_and_repaired(store: Store, units: int) -> None:
    product = await a_stocked_product(store, 5, by_lot=True)
    await a_receipt(store, product, 5, lot="L2")
    await damage(store, f"UPDATE stock_lots SET on_hand = {units} WHERE lot = 'L1'")  # noqa: S608
    assert await found(store) == [("lot_equals_journal", "L1", units, 5000)]
    await stock.repair(store.ctx, "lot")
    assert {lot.lot: lot.on_hand for lot in await stock.list_lots(store.ctx, product.id)} == {"L1": 5000, "L2": 5000}
    assert await level_of(store, product) == (10, 0)
    await assert_sound(store)


async def test_a_lot_that_was_deleted_comes_back(store: Store) -> None:
    product = await a_stocked_product(store, 5, by_lot=True)
    await damage(store, "DELETE FROM stock_lots")
    assert await found(store) == [("lot_equals_journal", "L1", 0, 5000)]
    await stock.repair(store.ctx, "lot")
    assert [lot.on_hand for lot in await stock.list_lots(store.ctx, product.id)] == [5000]
    await assert_sound(store)


async def test_a_level_that_was_deleted_comes_back(store: Store) -> None:
    product = await a_stocked_product(store, 5)
    await damage(store, "DELETE FROM stock_levels")
    assert await found(store) == [("level_equals_journal", "", 0, 5000)]
    await stock.repair(store.ctx, "level")
    assert await level_of(store, product) == (5, 0)
    await assert_sound(store)


async def test_repairing_while_others_sell_undoes_no_sale(store: Store) -> None:
    """The sale and the repair may meet in one batch; the level must end where the journal does."""
    product, other = await a_stocked_product(store, 100), await a_stocked_product(store, 100)
    await damage(store, f"UPDATE stock_levels SET on_hand = 120000 WHERE product_id = '{product.id}'")  # noqa: S608
    line = (StockLine(product.sku, 1000), StockLine(other.sku, 1000))
    document = StockDocument(MAIN, line)
    await asyncio.gather(
        *(stock.record_document(store.ctx, "issue", document, f"a{n}") for n in range(15)),
        *(stock.repair(store.ctx, "busy", f"r{n}") for n in range(3)),
        *(stock.record_document(store.ctx, "issue", document, f"b{n}") for n in range(15)),
    )
    assert await level_of(store, product) == (70, 0)
    assert await level_of(store, other) == (70, 0)
    await assert_sound(store)


async def test_damage_that_was_sold_from_is_refused_with_a_reason_instead_of_hidden(store: Store) -> None:
    product = await a_stocked_product(store, 5)
    await damage(store, "UPDATE stock_levels SET on_hand = 10000")
    await stock.record_document(store.ctx, "issue", StockDocument(MAIN, (StockLine(product.sku, milli(8)),)))
    report = await stock.check_invariants(store.ctx)
    assert report.oversold == 3000
    with pytest.raises(NervioError) as caught:
        await stock.repair(store.ctx, "too late")
    assert caught.value.code == "not_repairable"
    await a_receipt(store, product, 3)
    assert (await stock.repair(store.ctx, "now")).corrected == 1
    assert await level_of(store, product) == (0, 0)


async def test_a_repair_says_why(store: Store) -> None:
    await a_product(store)
    with pytest.raises(NervioError) as caught:
        await stock.repair(store.ctx, "  ")
    assert caught.value.data["field"] == "reason"


async def test_one_tenants_damage_is_not_anothers(store: Store) -> None:
    other = await store.another_tenant()
    await a_stocked_product(other, 5)
    await damage(other, "UPDATE stock_levels SET on_hand = 6000")
    await assert_sound(store)
    assert (await stock.repair(store.ctx, "mine")).corrected == 0
    assert len(await found(other)) == 1


async def test_the_checker_sees_one_moment_however_much_is_sold_meanwhile(store: Store) -> None:
    product = await a_stocked_product(store, 1000)
    selling = True

    async def sell_on() -> None:
        while selling:
            document = StockDocument(MAIN, (StockLine(product.sku, 1000),))
            await stock.record_document(store.ctx, "issue", document)

    sellers = [asyncio.create_task(sell_on()) for _ in range(4)]
    try:
        for _ in range(15):
            await assert_sound(store)
    finally:
        selling = False
        await asyncio.gather(*sellers)
