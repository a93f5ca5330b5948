"""Make the data files of `nervio demo` from the published data sets.

    pip install pyarrow
    python scripts/make_demo_data.py --retail online_retail.parquet --catalogue productos.csv.gz

Writes src/nervio/runtime/demo/data/*.columns.gz and manifest.json, reads them back and stops with an error unless every
row is there again. Only this script needs pyarrow; the product and its tests do not.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import importlib
import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from nervio.runtime.demo import minimarket, retail
from nervio.runtime.demo.columns import pack

T = TypeVar("T", bound=Hashable)

DATA = Path(__file__).parent.parent / "src" / "nervio" / "runtime" / "demo" / "data"

RETAIL_COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
CATALOGUE_COLUMNS = ("id_producto", "marca", "nombre", "presentacion", "precio_mediana", "categoria", "subcategoria")


def digest(values: Iterable[object]) -> str:
    """SHA-256 of the values as text, one a line; nothing is an empty line."""
    return hashlib.sha256("\n".join("" if value is None else str(value) for value in values).encode()).hexdigest()


def by_frequency(values: Iterable[T]) -> list[T]:
    """The distinct values, the most frequent first."""
    return [value for value, _ in Counter(values).most_common()]


def places(values: Sequence[T], table: Sequence[T]) -> list[int]:
    """Where each value stands in the table."""
    place = {value: n for n, value in enumerate(table)}
    return [place[value] for value in values]


def places_per_code(
    codes: Sequence[str], table: Sequence[str], values: Sequence[T]
) -> tuple[list[int], list[T], list[int]]:
    """For each row the place in the list of its code; all lists one after another; and the length of each."""
    counts: dict[str, Counter[T]] = defaultdict(Counter)
    for code, value in zip(codes, values, strict=True):
        counts[code][value] += 1
    lists = {code: [value for value, _ in counts[code].most_common()] for code in table}
    place = {code: {value: n for n, value in enumerate(entries)} for code, entries in lists.items()}
    rows = [place[code][value] for code, value in zip(codes, values, strict=True)]
    return rows, [value for code in table for value in lists[code]], [len(lists[code]) for code in table]


def exactly(text: str, scale: int) -> int:
    """A decimal number times the scale, as a whole number; refuses to round."""
    scaled = Decimal(text) * scale
    if scaled != int(scaled):
        raise SystemExit(f"{text} has more decimals than a file of the demo keeps")
    return int(scaled)


def make_retail(parquet_file: Path) -> tuple[bytes, dict[str, Any]]:
    """The packed year and its entry in the manifest."""
    # Imported by name: pyarrow is no dependency of the project, and its types are not wanted anywhere else.
    parquet = importlib.import_module("pyarrow.parquet")
    source: dict[str, list[Any]] = parquet.read_table(parquet_file, columns=list(RETAIL_COLUMNS)).to_pydict()
    if "" in source["Description"] or 0 in source["CustomerID"] or any(at.second for at in source["InvoiceDate"]):
        raise SystemExit("an empty description, a customer 0 or a second would not survive this format")
    source["UnitPrice"] = [exactly(repr(price), 1000) for price in source["UnitPrice"]]
    codes = source["StockCode"]
    code_table = sorted(set(codes))
    descriptions = places_per_code(codes, code_table, [text or "" for text in source["Description"]])
    prices = places_per_code(codes, code_table, source["UnitPrice"])
    quantity_table = by_frequency(source["Quantity"])

    heads = list(zip(*(source[name] for name in ("InvoiceNo", "InvoiceDate", "CustomerID", "Country")), strict=True))
    starts = [row for row, head in enumerate(heads) if row == 0 or head != heads[row - 1]]
    invoices, moments, customers, countries = zip(*(heads[row] for row in starts), strict=True)
    country_table = by_frequency(countries)
    packed = pack(
        {
            "code": places(codes, code_table),
            "description": descriptions[0],
            "price": prices[0],
            "quantity": places(source["Quantity"], quantity_table),
            "descriptions_per_code": descriptions[2],
            "prices_per_code": prices[2],
            "price_table": prices[1],
            "quantity_table": quantity_table,
            "run_length": [stop - start for start, stop in zip(starts, [*starts[1:], len(heads)], strict=True)],
            "run_invoice_kind": places([number[:-6] for number in invoices], retail.INVOICE_KINDS),
            "run_invoice_number": [int(number[-6:]) for number in invoices],
            "run_minute": [int((moment - retail.FIRST_MINUTE).total_seconds()) // 60 for moment in moments],
            "run_customer": [customer or 0 for customer in customers],
            "run_country": places(countries, country_table),
        },
        {"code_table": code_table, "description_table": descriptions[1], "country_table": country_table},
        differences=("run_invoice_number", "run_minute"),
    )
    entry = {
        "rows": len(heads),
        "invoices": len(set(source["InvoiceNo"])),
        "stock_codes": len(code_table),
        "quantity": sum(source["Quantity"]),
        "mills": sum(map(int.__mul__, source["Quantity"], source["UnitPrice"])),
        "sha256": {name: digest(source[name]) for name in RETAIL_COLUMNS},
    }
    return packed, entry


def make_catalogue(csv_file: Path) -> tuple[bytes, dict[str, Any]]:
    """The packed catalogue and its entry in the manifest."""
    with gzip.open(csv_file, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    source: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in CATALOGUE_COLUMNS}
    source["precio_mediana"] = [exactly(price, 100) if price else None for price in source["precio_mediana"]]
    tables = {name: by_frequency(source[name]) for name in ("marca", "presentacion", "categoria", "subcategoria")}
    packed = pack(
        {name: places(source[name], table) for name, table in tables.items()}
        | {"precio_mediana": [0 if price is None else price for price in source["precio_mediana"]]},
        {"id_producto": source["id_producto"], "nombre": source["nombre"]}
        | {f"{name}_table": table for name, table in tables.items()},
    )
    entry = {
        "rows": len(rows),
        "with_price": sum(price is not None for price in source["precio_mediana"]),
        "price_minor": sum(price or 0 for price in source["precio_mediana"]),
        "sha256": {name: digest(source[name]) for name in CATALOGUE_COLUMNS},
    }
    if 0 in source["precio_mediana"]:
        raise SystemExit("a price of 0 would read back as no price")
    return packed, entry


def retail_digests() -> dict[str, str]:
    """What the manifest must say of the year, from the package's own file."""
    return dict(zip(RETAIL_COLUMNS, map(digest, zip(*retail.read_retail_year().rows(), strict=True)), strict=True))


def catalogue_digests() -> dict[str, str]:
    """What the manifest must say of the catalogue, from the package's own file."""
    return dict(zip(CATALOGUE_COLUMNS, map(digest, zip(*minimarket.read_catalogue(), strict=True)), strict=True))


def main() -> None:
    """Write both files and the manifest, then prove that they read back whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retail", type=Path, required=True, help="UCI Online Retail as one parquet file")
    parser.add_argument("--catalogue", type=Path, required=True, help="the supermarket catalogue as productos.csv.gz")
    arguments = parser.parse_args()
    year, year_entry = make_retail(arguments.retail)
    catalogue, catalogue_entry = make_catalogue(arguments.catalogue)
    DATA.mkdir(exist_ok=True)
    (DATA / retail.FILE_NAME).write_bytes(year)
    (DATA / minimarket.FILE_NAME).write_bytes(catalogue)
    manifest = {retail.FILE_NAME: year_entry, minimarket.FILE_NAME: catalogue_entry}
    (DATA / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    if retail_digests() != year_entry["sha256"] or catalogue_digests() != catalogue_entry["sha256"]:
        raise SystemExit("the files do not read back to what was put in")
    for name, packed in ((retail.FILE_NAME, year), (minimarket.FILE_NAME, catalogue)):
        print(f"{name}: {manifest[name]['rows']:,} rows in {len(packed):,} bytes")


if __name__ == "__main__":
    main()
