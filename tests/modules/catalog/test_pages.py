"""Pages of products in every order, forwards and backwards, on both databases."""

from typing import Any

import pytest
from sqlalchemy import select

from nervio.db.keyset import read_page
from nervio.db.tenancy import TenantConnection
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductFilter, ProductInput, ProductOrder, ProductSort
from nervio.modules.catalog.models import products
from tests.builders import Store, a_store

# Names and prices repeat, so that only the second part of a position tells their rows apart.
GIVEN = [
    ProductInput(f"S-{(n * 7) % 23:02}", f"Name {n % 5}", price_minor=100 * (n % 4), currency="ARS") for n in range(23)
]
ORDERS = [ProductOrder(by, descending) for by in ProductSort for descending in (False, True)]


async def pages(store: Store, order: ProductOrder, size: int, *, backwards: bool) -> list[list[Product]]:
    """Every page, walked from the beginning or, `backwards`, from behind the last product; each in the list's order."""
    found: list[list[Product]] = []
    position: tuple[Any, ...] | None = None
    for _ in range(len(GIVEN) + 1):
        page = await catalog.list_products(store.ctx, ProductFilter(), position, size, order, backwards=backwards)
        if not page:
            return found
        assert len(page) <= size
        found.append(page)
        position = order.position(page[0] if backwards else page[-1])
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.by}{'-' * order.descending}")
async def test_every_order_visits_each_product_once_forwards_and_backwards(store: Store, order: ProductOrder) -> None:
    await catalog.save_products(store.ctx, GIVEN)
    whole = await catalog.list_products(store.ctx, ProductFilter(), None, 500, order)
    assert len(whole) == len(GIVEN)
    keys = [order.position(product) for product in whole]
    assert keys == sorted(keys, reverse=order.descending)
    forwards = await pages(store, order, 4, backwards=False)
    assert [product for page in forwards for product in page] == whole
    back = await pages(store, order, 4, backwards=True)
    assert [product for page in reversed(back) for product in page] == whole


async def test_a_page_back_is_the_page_one_came_from(store: Store) -> None:
    await catalog.save_products(store.ctx, GIVEN)
    for order in ORDERS:
        first, second, *_ = await pages(store, order, 4, backwards=False)
        start = order.position(second[0])
        assert await catalog.list_products(store.ctx, ProductFilter(), start, 4, order, backwards=True) == first


@pytest.mark.parametrize(
    ("by", "index"),
    [
        (("name", "id"), "ix_products_name"),
        (("sku",), "sqlite_autoindex_products_2"),
        (("price_minor", "id"), "ix_products_price"),
    ],
)
async def test_an_order_is_read_off_its_index(tmp_path: Any, by: tuple[str, ...], index: str) -> None:
    """No sorting and no walk through the rows before the page: what a position is for."""
    seen: list[str] = []

    class Explained(TenantConnection):
        def execute(self, statement: Any, parameters: Any = None) -> Any:
            literal = statement.compile(self.untenanted(), compile_kwargs={"literal_binds": True})
            seen.extend(row[3] for row in self.untenanted().exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}"))
            return super().execute(statement, parameters)

    async with a_store(tmp_path) as store:
        await catalog.save_products(store.ctx, GIVEN)
        columns = [products.c[name] for name in by]
        position = tuple("x" if name != "price_minor" else 200 for name in by)

        def query(connection: TenantConnection) -> list[Any]:
            statement = select(products).where(products.c.tenant_id == connection.tenant_id)
            explained = Explained(connection.untenanted(), connection.tenant_id)
            return read_page(explained, statement, columns, position, 5, descending=True)

        await store.ctx.read(query)
    assert [line for line in seen if index in line and "SEARCH" in line], seen
    assert not [line for line in seen if "TEMP B-TREE" in line], seen
