"""Lists over a real store: sorted, paged both ways, with columns left out, and kept as views of their own person."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductInput
from nervio.modules.console import api, lists
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.modules.console.serving import Shop, Visitor, a_shop

PRODUCTS, STOCK, RECEIPTS, JOURNAL = "/console/products", "/console/stock", "/console/receipts", "/console/journal"
COUNT = 2 * lists.PAGE + 7


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop with three pages of products, levels and receipts."""
    async with a_shop(tmp_path) as furnished:
        given = [ProductInput(f"Z-{(n * 37) % COUNT:03}", f"Thing {n:03}", 100 * (n % 9), "ARS") for n in range(COUNT)]
        await catalog.save_products(furnished.ctx, given)
        for n, product in enumerate(given):
            line = StockLine(product.sku, 1000 * (n + 1))
            await stock.record_document(furnished.ctx, "receipt", StockDocument("SALON", (line,), f"N-{n:03}"))
        yield furnished


def first_cells(text: str) -> list[str]:
    """What names each row of the page."""
    found = re.findall(r'<th scope="row">(?:<a[^>]*>|<span[^>]*>)([^<]+)<', text)
    return [unescape(cell) for cell in found]


def link(text: str, rel: str) -> str | None:
    """The address of the page before or after."""
    found = re.search(rf'href="([^"]+)"[^>]*rel="{rel}"', text)
    return None if found is None else unescape(found[1])


async def walk(visitor: Visitor, path: str) -> list[list[str]]:
    """The rows of every page to the end, having gone back over all of them by the links and seen the same."""
    pages, text = [], (await visitor.get(path)).text
    assert link(text, "prev") is None
    while True:
        pages.append(first_cells(text))
        following = link(text, "next")
        if following is None:
            break
        text = (await visitor.get(following)).text
    for page in reversed(pages[:-1]):
        before = link(text, "prev")
        assert before is not None
        text = (await visitor.get(before)).text
        assert first_cells(text) == page
    assert link(text, "prev") is None
    return pages


@pytest.mark.parametrize(
    "path",
    [
        PRODUCTS, f"{PRODUCTS}?sort=-name", f"{PRODUCTS}?sort=sku", f"{PRODUCTS}?sort=-price", f"{PRODUCTS}?q=thing&sort=price",
        STOCK, f"{STOCK}?sort=-name", RECEIPTS, f"{RECEIPTS}?order=oldest", f"{JOURNAL}?kind=receipt",
    ],
)  # fmt: skip
async def test_every_list_goes_on_and_back_over_the_same_pages(shop: Shop, path: str) -> None:
    pages = await walk(shop.visitor, path)
    rows = [row for page in pages for row in page]
    assert len(pages) == 3
    assert len(rows) in {COUNT, COUNT + 1}
    assert [len(page) for page in pages[:2]] == [lists.PAGE, lists.PAGE]


async def test_a_list_is_sorted_as_its_heading_says(shop: Shop) -> None:
    names = [row for page in await walk(shop.visitor, PRODUCTS) for row in page]
    assert names == sorted(names)
    turned = [row for page in await walk(shop.visitor, f"{PRODUCTS}?sort=-name") for row in page]
    assert turned == names[::-1]
    text = (await shop.visitor.get(f"{PRODUCTS}?sort=-price")).text
    assert re.findall(r'<th scope="col" class="num" aria-sort="(\w+)"', text) == ["descending"]
    prices = [int(price.replace(".", "")) for price in re.findall(r'<td class="num">\$\xa0([\d.]+),00<', text)]
    assert prices == sorted(prices, reverse=True) and len(set(prices)) > 2
    newest = first_cells((await shop.visitor.get(RECEIPTS)).text)
    oldest = first_cells((await shop.visitor.get(f"{RECEIPTS}?order=oldest")).text)
    assert (newest[0], oldest[0], oldest[1]) == (f"N-{COUNT - 1:03}", "R-1", "N-000")
    nonsense = await shop.visitor.get(f"{PRODUCTS}?sort=available")
    assert first_cells(nonsense.text) == names[: lists.PAGE]


async def test_the_file_of_a_list_has_its_order(shop: Shop) -> None:
    csv = (await shop.visitor.get(f"{PRODUCTS}?sort=-sku&format=csv")).text
    skus = [line.partition(",")[0] for line in csv.splitlines()[1:]]
    assert skus == sorted(skus, reverse=True) and len(skus) == COUNT + 1
    stocked = (await shop.visitor.get(f"{STOCK}?sort=-name&format=csv")).text.splitlines()
    assert "Yerba mate" in stocked[1] and f"Thing {COUNT - 1:03}" in stocked[2]
    receipts = (await shop.visitor.get(f"{RECEIPTS}?order=oldest&format=csv")).text.splitlines()
    assert "R-1" in receipts[1]


async def test_columns_can_be_left_out_and_the_name_cannot(shop: Shop) -> None:
    text = (await shop.visitor.get(f"{PRODUCTS}?hide=price&hide=sku&hide=name")).text
    headings = re.findall(r'<th scope="col".*?</th>', text, flags=re.DOTALL)
    assert [name for name in ("Name", "SKU", "Category", "Price", "Available") if name in "".join(headings)] == [
        "Name", "Category", "Available",
    ]  # fmt: skip
    assert text.count('<td class="num">') == lists.PAGE
    assert "hide=sku&amp;hide=price" in text


async def test_a_view_is_kept_for_its_person_and_found_on_any_device(shop: Shop) -> None:
    query = "q=thing&sort=-price&hide=sku"
    seen = await shop.visitor.post(
        "/console/views/products", PRODUCTS, name="  Lo   caro ", query=f"{query}&cursor=abc&edit=Z-001"
    )
    assert (seen.url.path, seen.url.query.decode()) == (PRODUCTS, query)
    assert '<span class="view-name">Lo caro</span>' in seen.text
    elsewhere = (await shop.visitor.get(PRODUCTS)).text
    assert f'href="{PRODUCTS}?{query.replace("&", "&amp;")}"' in elsewhere
    assert "Lo caro" not in (await shop.visitor.get(STOCK)).text
    assert "Lo caro" not in (await (await shop.as_role("admin")).get(PRODUCTS)).text
    again = await shop.visitor.post("/console/views/products", PRODUCTS, name="Lo caro", query="sort=sku")
    assert again.text.count('class="view"') == 1 and f'href="{PRODUCTS}?sort=sku"' in again.text
    gone = await shop.visitor.post("/console/views/products/remove", PRODUCTS, name="Lo caro", query="sort=sku")
    assert gone.url.query == b"sort=sku" and 'class="view"' not in gone.text
    twice = await shop.visitor.post("/console/views/products/remove", PRODUCTS, name="Lo caro")
    assert twice.status_code == 404 and "That view is no longer there." in twice.text


async def test_a_view_that_cannot_be_kept_is_refused(shop: Shop) -> None:
    path = "/console/views/stock"
    for name in ("", " ", "x" * (api.LONGEST_NAME + 1)):
        assert (await shop.visitor.post(path, STOCK, name=name, query="")).status_code == 422
    long = await shop.visitor.post(path, STOCK, name="Long", query="q=" + "x" * api.LONGEST_QUERY)
    assert long.status_code == 422
    for n in range(api.MOST_VIEWS):
        assert (await shop.visitor.post(path, STOCK, name=f"View {n}", query=f"q={n}")).status_code == 200
    many = await shop.visitor.post(path, STOCK, name="One more", query="")
    assert many.status_code == 409 and "has 30 views already" in many.text
    assert (await shop.visitor.post(path, STOCK, name="View 3", query="q=changed")).status_code == 200
    assert (await shop.visitor.post("/console/views/users", STOCK, name="People", query="")).status_code == 404
