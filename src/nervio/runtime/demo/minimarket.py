"""The minimarket: 67,939 real products of Argentine supermarkets (Precios Claros, April 2020), planned as one shop.

Products, names, brands, categories and prices are the source's; prices are the median over the stores, in ARS. What is
decided here:

- The id of the source is the SKU, as text: leading zeros count, and 10,190 ids are no EAN at all ("10-1-2300049000008",
  a code that one chain gives to loose goods).
- The barcode is the id where it is 13 digits with a right check digit (57,749 products, every 13-digit id of the
  source); elsewhere there is none.
- 328 products have no price in the source. They are in the catalogue with price `None`, and without stock.
- Sold by the kilogram are the 10,262 products whose presentation is "1.0 kg" and whose id no manufacturer can have: a
  chain's own code, or a GS1 number for use inside a shop. A kilogram of rice with a manufacturer's EAN is a piece.
- Only 1,996 products have a category in the source; elsewhere it is `None`. Nothing is guessed.
- **Opening quantities are invented**, since the source has none: 4 to 60 pieces or 2.00 to 39.95 kg, from the CRC-32 of
  the id, so that every load gives the same shop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from zlib import crc32

from nervio.kernel.time import Instant, from_datetime
from nervio.runtime.demo.columns import read_columns
from nervio.runtime.demo.records import OpeningReceipt, opening_receipts

FILE_NAME = "minimarket.columns.gz"

SHOP_NAME = "Minimarket"
CURRENCY = "ARS"
TIME_ZONE = "America/Argentina/Buenos_Aires"

OPENED_AT: Instant = from_datetime(datetime.fromisoformat("2020-04-26T12:00:00+00:00"))
"""When the opening receipts came in: the day of the last survey of prices in the source."""


class CatalogueRow(NamedTuple):
    """One row of the source; `price` is precio_mediana in minor units. Empty texts stand for nothing, as in the source."""

    id: str
    brand: str
    name: str
    presentation: str
    price: int | None
    category: str
    subcategory: str


class MinimarketProduct(NamedTuple):
    """A product as the catalogue module takes it; `price` in minor units, `opening_quantity` in milli-units."""

    sku: str
    barcode: str | None
    name: str
    brand: str | None
    presentation: str
    category: str | None
    subcategory: str | None
    unit: Literal["piece", "kg"]
    price: int | None
    opening_quantity: int


@dataclass(frozen=True, slots=True)
class MinimarketPlan:
    """All that the shop needs to open, in the order to load it: products by SKU, then the receipts."""

    products: tuple[MinimarketProduct, ...]
    receipts: tuple[OpeningReceipt, ...]


def read_catalogue() -> Iterator[CatalogueRow]:
    """Every row of the source, by id."""
    columns = read_columns(FILE_NAME)

    def looked_up(name: str) -> Iterator[str]:
        return map(columns.texts(f"{name}_table").__getitem__, columns.numbers(name))

    return map(
        CatalogueRow,
        columns.texts("id_producto"),
        looked_up("marca"),
        columns.texts("nombre"),
        looked_up("presentacion"),
        (price or None for price in columns.numbers("precio_mediana")),
        looked_up("categoria"),
        looked_up("subcategoria"),
    )


def plan_minimarket() -> MinimarketPlan:
    """The shop, the same at each call; under a second."""
    products = tuple(map(_product, read_catalogue()))
    stock = {product.sku: product.opening_quantity for product in products}
    return MinimarketPlan(products, opening_receipts(stock, OPENED_AT))


def is_ean13(code: str) -> bool:
    """Whether the code is 13 digits of which the last is the right check digit (GS1 General Specifications, 7.9)."""
    if len(code) != 13 or not (code.isascii() and code.isdigit()):
        return False
    # ASCII digits are 48 too large, together 48 × (7 + 3 × 6) = 1,200: nothing to the last digit, and twice as fast.
    digits = code.encode()
    return (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0


def is_restricted(ean13: str) -> bool:
    """Whether GS1 leaves the number to each shop, so that no manufacturer can have it.

    Restricted circulation (GS1 General Specifications, 1.4): EAN-13 that begin with 02, 04 or 20 to 29, and EAN-8 (here
    with five zeros in front) that begin with 0 or 2.
    """
    if ean13.startswith("00000"):
        return ean13[5] in "02"
    return ean13[0] == "2" or ean13[:2] in {"02", "04"}


def _product(row: CatalogueRow) -> MinimarketProduct:
    ean = is_ean13(row.id)
    by_weight = row.presentation == "1.0 kg" and not (ean and not is_restricted(row.id))
    return MinimarketProduct(
        sku=row.id,
        barcode=row.id if ean else None,
        name=row.name,
        brand=None if row.brand == "SIN MARCA" else row.brand,
        presentation=row.presentation,
        category=row.category or None,
        subcategory=row.subcategory or None,
        unit="kg" if by_weight else "piece",
        price=row.price,
        opening_quantity=0 if row.price is None else _invented_quantity(row.id, by_weight=by_weight),
    )


def _invented_quantity(sku: str, *, by_weight: bool) -> int:
    draw = crc32(sku.encode())
    return 2_000 + draw % 760 * 50 if by_weight else (4 + draw % 57) * 1000
