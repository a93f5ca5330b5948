"""The data files hold every row of what was published: the manifest was counted from the originals, not from them."""

import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import pytest

from nervio.runtime.demo import minimarket, retail
from nervio.runtime.demo.minimarket import read_catalogue
from nervio.runtime.demo.retail import RetailYear

DATA = files("nervio.runtime.demo").joinpath("data")


def manifest_of(name: str) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = json.loads(DATA.joinpath("manifest.json").read_text(encoding="utf-8"))
    return entries[name]


def digest(values: Iterable[object]) -> str:
    return hashlib.sha256("\n".join("" if value is None else str(value) for value in values).encode()).hexdigest()


def test_every_row_of_the_year_is_there(year: RetailYear) -> None:
    manifest = manifest_of(retail.FILE_NAME)
    rows = list(year.rows())
    assert len(rows) == manifest["rows"] == 457_118
    assert len({row.invoice for row in rows}) == manifest["invoices"]
    assert len({row.stock_code for row in rows}) == len(year.stock_codes) == manifest["stock_codes"]
    assert sum(row.quantity for row in rows) == manifest["quantity"]
    assert sum(row.quantity * row.price_mills for row in rows) == manifest["mills"] == 8_350_319_404
    assert list(map(digest, zip(*rows, strict=True))) == list(manifest["sha256"].values())


def test_every_row_of_the_catalogue_is_there() -> None:
    manifest = manifest_of(minimarket.FILE_NAME)
    rows = list(read_catalogue())
    assert len(rows) == manifest["rows"] == 67_939
    assert sum(row.price is not None for row in rows) == manifest["with_price"]
    assert sum(row.price or 0 for row in rows) == manifest["price_minor"]
    assert list(map(digest, zip(*rows, strict=True))) == list(manifest["sha256"].values())


def test_the_first_row_reads_as_published(year: RetailYear) -> None:
    first = next(year.rows())
    assert first[:4] == ("536365", "85123A", "WHITE HANGING HEART T-LIGHT HOLDER", 6)
    assert first.moment.isoformat() == "2010-12-01T08:26:00"
    assert first[5:] == (2550, 17850, "United Kingdom")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("online_retail.LICENSE.md", ["CC BY 4.0", "Daqing Chen", "10.24432/C5BW33", "Changes made here"]),
        ("minimarket.LICENSE.md", ["CC BY 2.5 AR", "Base SEPA", "Patricio Del Boca", "Changes made here"]),
    ],
)
def test_each_file_has_its_licence_and_source_beside_it(name: str, words: list[str]) -> None:
    text = DATA.joinpath(name).read_text(encoding="utf-8")
    assert [word for word in words if word not in text] == []


def test_the_data_stays_small() -> None:
    sizes = [len(DATA.joinpath(name).read_bytes()) for name in (retail.FILE_NAME, minimarket.FILE_NAME)]
    assert sum(sizes) < 2_500_000
