"""Products, barcodes and locations through the api."""

import asyncio

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductFilter, ProductInput
from nervio.modules.catalog.domain import fold
from tests.builders import MAIN, Store, a_location, a_product


async def refused(store: Store, *products: ProductInput) -> NervioError:
    """The refusal of products that must not be saved."""
    with pytest.raises(NervioError) as caught:
        await catalog.save_products(store.ctx, products)
    return caught.value


async def test_products_are_created_by_sku_and_changed_by_the_same(store: Store) -> None:
    first = await catalog.save_products(store.ctx, [ProductInput("A", "Bread"), ProductInput("B", "Milk")])
    again = await catalog.save_products(store.ctx, [ProductInput("C", "Tea"), ProductInput("A", "Rye bread", 150)])
    assert (first.created, first.updated, again.created, again.updated) == (2, 0, 1, 1)
    assert again.ids[1] == first.ids[0]
    assert (await catalog.get_product(store.ctx, "A")).name == "Rye bread"
    assert await catalog.count_products(store.ctx) == 3


async def test_a_save_is_all_or_none(store: Store) -> None:
    await a_product(store, "A", barcodes=("111",))
    error = await refused(store, ProductInput("B", "Fine"), ProductInput("C", "Thief", barcodes=("111",)))
    assert (error.kind, error.code, error.data["field"]) == (Kind.CONFLICT, "barcode_taken", "products[1].barcodes")
    assert await catalog.count_products(store.ctx) == 1


async def test_a_product_is_found_by_sku_barcode_and_id(store: Store) -> None:
    product = await a_product(store, "A", barcodes=("111", "222"))
    for reference in ("A", "111", "222", product.id):
        assert (await catalog.get_product(store.ctx, reference)).id == product.id
    for reference in ("B", new_id(), "", "nul\x00"):
        with pytest.raises(NervioError) as caught:
            await catalog.get_product(store.ctx, reference)
        assert caught.value.kind is Kind.NOT_FOUND


async def test_saving_a_product_replaces_its_barcodes(store: Store) -> None:
    await a_product(store, "A", barcodes=("111", "222"))
    changed = await a_product(store, "A", barcodes=("222", "333"))
    assert changed.barcodes == ("222", "333")
    await a_product(store, "B", barcodes=("111",))


async def test_a_barcode_given_twice_in_one_request_belongs_to_nobody(store: Store) -> None:
    error = await refused(store, ProductInput("A", "a", barcodes=("1",)), ProductInput("B", "b", barcodes=("1",)))
    assert error.code == "barcode_taken"
    assert (await refused(store, ProductInput("A", "a"), ProductInput("A", "b"))).code == "duplicate_sku"
    once = await a_product(store, "A", barcodes=("1", "1"))
    assert once.barcodes == ("1",)


async def test_how_a_product_is_kept_in_stock_is_fixed(store: Store) -> None:
    await a_product(store, "A")
    for changed in (ProductInput("A", "a", tracked=False), ProductInput("A", "a", by_lot=True)):
        assert (await refused(store, changed)).code == "stock_keeping_fixed"


@pytest.mark.parametrize(
    ("product", "field"),
    [
        (ProductInput("", "a"), "sku"),
        (ProductInput(" A", "a"), "sku"),
        (ProductInput("a\x00", "a"), "sku"),
        (ProductInput("A" * 65, "a"), "sku"),
        (ProductInput("A", " "), "name"),
        (ProductInput("A", "a\x00"), "name"),
        (ProductInput("A", "a", -1), "price_minor"),
        (ProductInput("A", "a", 10**30), "price_minor"),
        (ProductInput("A", "a", tax_rate_bp=10_001), "tax_rate_bp"),
        (ProductInput("A", "a", tax_rate_bp=-1), "tax_rate_bp"),
        (ProductInput("A", "a", currency="peso"), "currency"),
        (ProductInput("A", "a", barcodes=("",)), "barcodes[0]"),
        (ProductInput("A", "a", category="c\x00"), "category"),
    ],
)
async def test_a_product_no_till_could_sell_is_refused_by_field(
    store: Store, product: ProductInput, field: str
) -> None:
    error = await refused(store, ProductInput("OK", "fine"), product)
    assert (error.kind, error.data["field"]) == (Kind.INVALID, f"products[1].{field}")
    assert await catalog.count_products(store.ctx) == 0


async def test_a_request_holds_between_one_and_a_thousand_products(store: Store) -> None:
    assert (await refused(store)).data["field"] == "products"
    assert (await refused(store, *[ProductInput("A", "a")] * 1001)).data["field"] == "products"


async def test_a_search_ignores_case_and_accents_and_wants_every_word(store: Store) -> None:
    given = [
        ProductInput("A", "Café molido", category="Almacén", barcodes=("779",)),
        ProductInput("B", "Cafetera 100%"),
        ProductInput("C", "Té_verde", active=False),
    ]
    await catalog.save_products(store.ctx, given)

    async def found(search: str, **rest: str | bool) -> list[str]:
        wanted = ProductFilter(search, **rest)  # type: ignore[arg-type]
        return sorted(product.sku for product in await catalog.list_products(store.ctx, wanted))

    assert await found("CAFE") == ["A", "B"]
    assert await found("molido café") == ["A"]
    assert await found("779") == ["A"]
    assert await found("100%") == ["B"]
    assert await found("%") == ["B"]
    assert await found("_") == ["C"]
    assert await found("", active=True) == ["A", "B"]
    assert await found("", category="Almacén") == ["A"]
    assert await catalog.list_categories(store.ctx) == ["Almacén"]
    assert fold("ÁÉÍÓÚÜÑ") == "aeiouun"


async def test_products_are_paged_by_name_without_loss(store: Store) -> None:
    names = ["b", "a", "b", "c", "a", "b"]
    await catalog.save_products(store.ctx, [ProductInput(f"S{n}", name) for n, name in enumerate(names)])
    seen: list[str] = []
    after = None
    while page := await catalog.list_products(store.ctx, ProductFilter(), after, 2):
        seen += [product.name for product in page]
        after = (page[-1].name, page[-1].id)
    assert seen == sorted(names)


async def test_whether_a_location_may_go_negative_is_fixed(store: Store) -> None:
    renamed = await catalog.save_location(store.ctx, LocationInput(MAIN, "The shop"))
    assert (renamed.id, renamed.name) == (store.main.id, "The shop")
    with pytest.raises(NervioError) as caught:
        await catalog.save_location(store.ctx, LocationInput(MAIN, "The shop", allow_negative=True))
    assert caught.value.code == "negative_policy_fixed"
    await a_location(store, "VAN", allow_negative=True)
    assert [(one.code, one.allow_negative) for one in await catalog.list_locations(store.ctx)] == [
        (MAIN, False),
        ("VAN", True),
    ]


async def test_tenants_may_use_the_same_names_and_see_their_own_only(store: Store) -> None:
    other = await store.another_tenant()
    mine = await a_product(store, "A", barcodes=("111",))
    theirs = await a_product(other, "A", barcodes=("111",))
    assert mine.id != theirs.id
    assert (await catalog.get_product(store.ctx, "111")).id == mine.id
    with pytest.raises(NervioError):
        await catalog.get_product(store.ctx, theirs.id)
    assert await catalog.count_products(store.ctx) == 1
    assert [one.id for one in await catalog.list_locations(other.ctx)] == [other.main.id]


async def test_a_product_saved_by_many_at_once_is_one_product(store: Store) -> None:
    saved = await asyncio.gather(
        *(catalog.save_products(store.ctx, [ProductInput("A", f"Name {n}")], f"k{n}") for n in range(20))
    )
    assert len({one.ids for one in saved}) == 1
    assert sum(one.created for one in saved) == 1


async def test_the_catalog_is_written_only_by_those_who_may(store: Store) -> None:
    reader = store.permitted("catalog.read")
    for attempt in (
        catalog.save_products(reader, [ProductInput("A", "a")]),
        catalog.save_location(reader, LocationInput("X", "x")),
        catalog.count_products(store.permitted()),
    ):
        with pytest.raises(NervioError) as caught:
            await attempt
        assert caught.value.kind is Kind.FORBIDDEN
