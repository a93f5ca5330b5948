"""The figures of stock that rules watch: critical levels, and levels that do not agree with the journal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from nervio.modules.stock import api as stock
from nervio.modules.stock import store as stock_store
from nervio.modules.stock.contracts import LevelPolicy
from nervio.modules.stock.models import stock_levels
from nervio.modules.stock.usecases import probing
from nervio.ports.probes import Question, Reading
from tests.builders import MAIN, Store, a_hold, a_location, a_receipt, a_stocked_product, milli


async def ask(store: Store, bound: int = 100, *subjects: str) -> dict[str, Reading]:
    found = await probing.read_critical(store.ctx, Question(store.clock.now(), bound, frozenset(subjects)))
    return {each.subject: each for each in found}


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**12))
def test_a_hundred_per_cent_is_exactly_at_or_below(available: int, critical: int) -> None:
    assert (probing.percent_of(available, critical) <= 100) == (available <= critical)


async def test_levels_near_their_critical_level_are_told_of_the_scarcest_first(store: Store) -> None:
    plenty, scarce, gone, without = [await a_stocked_product(store, units) for units in (100, 4, 1, 1)]
    for product in (plenty, scarce, gone):
        await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(5)))
    await a_hold(store, gone, 1)
    found = await ask(store)
    assert [(each.product_id, each.value) for each in found.values()] == [(gone.id, 0), (scarce.id, 80)]
    assert without.id not in str(found)
    reading = found[f"{scarce.id}@{store.main.id}"]
    assert reading.location_id == store.main.id
    assert reading.figures == {
        "available_milli": 4_000,
        "critical_milli": 5_000,
        "product": scarce.name,
        "location": "Main",
    }


async def test_a_level_that_is_asked_for_is_told_of_wherever_it_stands(store: Store) -> None:
    product = await a_stocked_product(store, 100)
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(5)))
    subject = f"{product.id}@{store.main.id}"
    assert await ask(store) == {}
    assert (await ask(store, 100, subject))[subject].value == 2_000
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, None))
    assert await ask(store, 100, subject) == {}


async def test_each_location_has_its_own_level(store: Store) -> None:
    await a_location(store)
    product = await a_stocked_product(store, 100)
    await a_receipt(store, product, 1, location="DEPOSIT")
    for code in (MAIN, "DEPOSIT"):
        await stock.set_critical_level(store.ctx, LevelPolicy(code, product.sku, milli(5)))
    (reading,) = (await ask(store)).values()
    assert (reading.product_id, reading.value) == (product.id, 20)


async def tamper(store: Store, product_id: str, by: int) -> None:
    column = stock_levels.c
    change = (
        update(stock_levels)
        .where(column.tenant_id == store.ctx.tenant_id, column.product_id == product_id)
        .values(on_hand=column.on_hand + by)
    )
    await store.database.bookkeep("prune", lambda c: c.execute(change).rowcount)


async def rename(store: Store, table: str, name: str) -> None:
    change = text(f"ALTER TABLE {table} RENAME TO {name}")
    await store.database.bookkeep("prune", lambda c: c.execute(change).rowcount)


async def test_a_level_that_was_tampered_with_is_found_and_once_repaired_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PRODUCTS_A_LOOK", 2)
    products = [await a_stocked_product(store, 10) for _ in range(5)]
    await a_hold(store, products[0], 2)
    walk, question = probing.InvariantWalk(), Question(store.clock.now(), 1)
    for _ in range(4):
        assert [each.value for each in await walk.read(store.ctx, question)] == [0]

    await tamper(store, products[3].id, 7)
    found = [(await walk.read(store.ctx, question))[0] for _ in range(3)]
    assert max(each.value for each in found) == 1
    assert found[-1].value == 1, "what was found stays in sight"
    assert found[-1].figures == {"first": products[3].name}
    # Another process, asked about a rule that stands tripped, does not take it for mended.
    again = await probing.InvariantWalk().read(store.ctx, Question(store.clock.now(), 1, frozenset({""})))
    assert again[0].value == 1
    await tamper(store, products[3].id, -7)
    assert [each.value for each in await walk.read(store.ctx, question)] == [0]


TRIPPED = frozenset({""})
"""What a question names while the rule stands tripped."""


async def test_a_whole_check_that_could_not_be_made_is_made_before_anything_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PRODUCTS_A_LOOK", 1)
    products = sorted([await a_stocked_product(store, 10) for _ in range(3)], key=lambda each: each.id)
    await tamper(store, products[2].id, 7)
    walk, question = probing.InvariantWalk(), Question(store.clock.now(), 1, TRIPPED)
    await rename(store, "stock_lots", "away")
    with pytest.raises(DBAPIError):
        await walk.read(store.ctx, question)
    await rename(store, "away", "stock_lots")
    assert [each.value for each in await walk.read(store.ctx, question)] == [1]


async def test_a_walk_that_rested_does_not_take_what_others_found_for_mended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PRODUCTS_A_LOOK", 1)
    products = sorted([await a_stocked_product(store, 10) for _ in range(3)], key=lambda each: each.id)
    walk = probing.InvariantWalk()
    assert [each.value for each in await walk.read(store.ctx, Question(store.clock.now(), 1))] == [0]
    # Another process looks for a while, finds something and trips; then it is this one's turn again.
    await tamper(store, products[2].id, 7)
    store.clock.advance(61)
    assert [each.value for each in await walk.read(store.ctx, Question(store.clock.now(), 1, TRIPPED))] == [1]


async def test_a_look_that_fails_leaves_no_product_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PRODUCTS_A_LOOK", 1)
    products = sorted([await a_stocked_product(store, 10) for _ in range(2)], key=lambda each: each.id)
    await tamper(store, products[0].id, 7)
    walk, question = probing.InvariantWalk(), Question(store.clock.now(), 1)
    await rename(store, "stock_holds", "away")
    with pytest.raises(DBAPIError):
        await walk.read(store.ctx, question)
    await rename(store, "away", "stock_holds")
    assert [each.value for each in await walk.read(store.ctx, question)] == [1]


async def test_no_more_levels_are_read_than_are_asked_for_and_than_one_look_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "MOST_NEW", 2)
    products = [await a_stocked_product(store, units) for units in (1, 2, 3, 4, 5)]
    for product in products:
        await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, product.sku, milli(10)))
    level = [(store.main.id, product.id) for product in products]
    known = [level[0], level[1]]
    rows = await store.ctx.read(lambda c: stock_store.list_levels_up_to(c, 100, known, 2))
    assert [row[:2] for row in rows] == level[:4], "the scarcest, and two that were not known"
    rows = await store.ctx.read(lambda c: stock_store.list_levels_up_to(c, 100, [level[4]], 1))
    assert [row[:2] for row in rows] == [*level[:2], level[4]]
    subjects = [f"{product.id}@{store.main.id}" for product in products]
    assert sorted(await ask(store, 100, subjects[0], subjects[4])) == sorted([*subjects[:3], subjects[4]])
