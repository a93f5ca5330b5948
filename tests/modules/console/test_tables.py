"""The state of a list is its address."""

from __future__ import annotations

from nervio.modules.console.tables import Column, Table

NAME, PRICE = Column("name", "col.name"), Column("price", "col.price", numeric=True)
TABLE = Table(
    "/console/products", (NAME, PRICE), search="yerba", sort="name", chosen={"category": "Almacén"},
)  # fmt: skip


def test_an_address_holds_search_filters_and_sort_but_not_the_page() -> None:
    assert TABLE.url(cursor="c2") == "/console/products?q=yerba&category=Almac%C3%A9n&sort=name&cursor=c2"
    assert "cursor" not in TABLE.url()
    assert Table("/x", (NAME,)).url() == "/x"


def test_sorting_by_the_same_column_turns_the_direction() -> None:
    assert TABLE.sort_url(NAME).endswith("sort=-name")
    assert TABLE.sort_url(PRICE).endswith("sort=price")
    turned = Table("/x", (NAME,), sort="name", descending=True)
    assert turned.sort_url(NAME) == "/x?sort=name"
    assert (TABLE.aria_sort(NAME), TABLE.aria_sort(PRICE), turned.aria_sort(NAME)) == (
        "ascending",
        "none",
        "descending",
    )


def test_the_order_of_the_list_itself_is_shown_and_turned_like_any_other() -> None:
    usual = Table("/x", (NAME, PRICE), usual="name")
    assert (usual.aria_sort(NAME), usual.sort_url(NAME), usual.url()) == ("ascending", "/x?sort=-name", "/x")


def test_columns_left_out_stay_left_out_in_every_address() -> None:
    table = Table("/x", (NAME, PRICE), hidden=("price",), search="té")
    assert table.url(cursor="c") == "/x?q=t%C3%A9&cursor=c&hide=price"
    assert (table.shows("name"), table.shows("price")) == (True, False)
    fixed = Column("name", "col.name", fixed=True)
    assert Table("/x", (fixed, PRICE)).optional() == (PRICE,)


def test_csv_is_the_same_query() -> None:
    assert TABLE.csv_url() == TABLE.url() + "&format=csv"
