"""Pages of levels turned round and walked backwards, on both databases."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nervio.kernel.quantity import UNIT
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import Level, LevelPolicy
from tests.builders import Store, a_location, a_receipt, a_stocked_product

Place = tuple[Any, ...]
Read = Callable[[Place | None, bool], Awaitable[tuple[list[Level], Place | None]]]


async def furnish(store: Store) -> None:
    """Seven products, four of them at a second location too, two of them critical there."""
    await a_location(store, "DEPOSIT")
    for n in range(7):
        product = await a_stocked_product(store, 5 + n, sku=f"P-{n}")
        if n % 2 == 0:
            await a_receipt(store, product, 3, location="DEPOSIT")
            if n:
                await stock.set_critical_level(store.ctx, LevelPolicy("DEPOSIT", product.sku, (8 - n) * UNIT))


async def walk(read: Read, *, backwards: bool) -> list[Level]:
    """All levels page by page, put together in the list's order."""
    found: list[Level] = []
    position: Place | None = None
    for _ in range(50):
        page, position = await read(position, backwards)
        found = page + found if backwards else found + page
        if position is None:
            return found
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("size", [1, 2, 3, 50])
async def test_levels_by_name_can_be_turned_round_and_walked_back(store: Store, size: int) -> None:
    await furnish(store)

    def reader(descending: bool) -> Read:
        async def read(at: Place | None, backwards: bool) -> tuple[list[Level], Place | None]:
            after = None if at is None else (at[0], at[1], at[2])
            return await stock.page_levels(store.ctx, "", None, after, size, descending=descending, backwards=backwards)

        return read

    whole, _ = await stock.page_levels(store.ctx, limit=100)
    assert [(x.sku, x.location_code) for x in whole[:3]] == [("P-0", "DEPOSIT"), ("P-0", "MAIN"), ("P-1", "MAIN")]
    assert len(whole) == 11
    for descending in (False, True):
        wanted = whole[::-1] if descending else whole
        for backwards in (False, True):
            assert await walk(reader(descending), backwards=backwards) == wanted


@pytest.mark.parametrize("size", [1, 2, 50])
async def test_critical_levels_are_walked_back_in_the_same_order(store: Store, size: int) -> None:
    await furnish(store)

    async def read(at: Place | None, backwards: bool) -> tuple[list[Level], Place | None]:
        after = None if at is None else (at[0], at[1], at[2])
        return await stock.page_critical_levels(store.ctx, "", None, after, size, backwards=backwards)

    whole, _ = await stock.page_critical_levels(store.ctx, limit=100)
    assert [level.sku for level in whole] == ["P-2", "P-4"]
    for backwards in (False, True):
        assert await walk(read, backwards=backwards) == whole
