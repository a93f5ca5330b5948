"""Products and locations as other modules see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


@dataclass(frozen=True, slots=True)
class Product:
    """Something with a SKU and a price. Services (`tracked` False) have no stock. `cost_minor` is what a unit costs without
    tax; None when it is not known, or not the reader's business."""

    id: str
    sku: str
    name: str
    category: str
    barcodes: tuple[str, ...]
    price_minor: int
    currency: str
    tax_rate_bp: int
    tracked: bool
    by_lot: bool
    active: bool
    cost_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ProductInput:
    """A product to create or, when the SKU exists, to change. Prices in minor units, tax in basis points; a cost of None
    leaves the one that is known as it is."""

    sku: str
    name: str
    price_minor: int = 0
    currency: str | None = None
    tax_rate_bp: int = 0
    category: str = ""
    barcodes: tuple[str, ...] = ()
    tracked: bool = True
    by_lot: bool = False
    active: bool = True
    cost_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ProductFigures:
    """What margins and discounts are measured against: today's list price and cost of a unit, both in `currency`."""

    sku: str
    name: str
    price_minor: int
    currency: str
    cost_minor: int | None


@dataclass(frozen=True, slots=True)
class SaveProducts:
    """Creates or changes products, all or none."""

    products: tuple[ProductInput, ...]


@dataclass(frozen=True, slots=True)
class ProductsSaved:
    """Ids in the order of the request."""

    ids: tuple[str, ...]
    created: int
    updated: int


@dataclass(frozen=True, slots=True)
class Location:
    """A place that holds stock: a shop floor, a deposit, a van."""

    id: str
    code: str
    name: str
    allow_negative: bool
    active: bool


@dataclass(frozen=True, slots=True)
class LocationInput:
    """A location to create or, when the code exists, to change."""

    code: str
    name: str
    allow_negative: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class ProductRow:
    """The part of a product that deciding a sale needs."""

    id: str
    sku: str
    name: str
    price_minor: int
    currency: str
    tax_rate_bp: int
    tracked: bool
    by_lot: bool
    active: bool


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """What a product list is narrowed by; `search` looks at SKU, name and barcodes."""

    search: str = ""
    category: str = ""
    active: bool | None = None
    ids: tuple[str, ...] = field(default=())
    skus: tuple[str, ...] = field(default=())


class ProductSort(StrEnum):
    """What a product list can be sorted by: what the store has in order."""

    NAME = "name"
    SKU = "sku"
    PRICE = "price"


@dataclass(frozen=True, slots=True)
class ProductOrder:
    """The order of a product list."""

    by: ProductSort = ProductSort.NAME
    descending: bool = False

    @property
    def kinds(self) -> tuple[Literal["text", "id", "int"], ...]:
        """What a position in this order is made of."""
        match self.by:
            case ProductSort.NAME:
                return ("text", "id")
            case ProductSort.SKU:
                return ("text",)
            case ProductSort.PRICE:
                return ("int", "id")

    def position(self, product: Product) -> tuple[str | int, ...]:
        """Where a product stands in this order."""
        match self.by:
            case ProductSort.NAME:
                return (product.name, product.id)
            case ProductSort.SKU:
                return (product.sku,)
            case ProductSort.PRICE:
                return (product.price_minor, product.id)


BY_NAME = ProductOrder()
