"""The builders build what they say, on both databases."""

from pathlib import Path

import pytest

from tests.builders import a_hold, a_postgres_store, a_sale, a_stocked_product, a_store, assert_sound, level_of


async def test_a_store_of_tests_is_a_real_one(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        product = await a_stocked_product(store, 10)
        await a_hold(store, product, 3)
        ticket = await a_sale(store, lines=2)
        assert ticket.total == 2000
        assert await level_of(store, product) == (10, 3)
        await assert_sound(store)


@pytest.mark.services("postgres")
async def test_so_is_one_on_postgresql(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        product = await a_stocked_product(store, 10)
        await a_hold(store, product, 3)
        assert (await a_sale(store, lines=2)).total == 2000
        assert await level_of(store, product) == (10, 3)
        await assert_sound(store)
