"""What the catalog's routes take and answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.money import BASIS_POINT_SCALE, format_amount
from nervio.modules.catalog.contracts import (
    Location,
    LocationInput,
    Product,
    ProductInput,
    ProductOrder,
    ProductSort,
    ProductsSaved,
)
from nervio.web.lists import ExportQuery, Figure, Sheet
from nervio.web.values import Code, Currency, LongText, Price, RequestBody, ShortText

MOST_PRODUCTS = 1000

REQUEST_NAMES = {"price_minor": "unit_price_minor"}
"""Fields the use cases name otherwise than requests do."""


class ProductQuery(ExportQuery):
    """What the list of products is narrowed by."""

    search: ShortText = Field(
        "", description="Words that name, SKU, barcode or category must hold; accents do not matter."
    )
    category: LongText = Field("", description="Only this category, exactly.")
    active: bool | None = Field(None, description="Only products that are (or are no longer) sold.")
    sort: Literal["name", "-name", "sku", "-sku", "price", "-price"] = Field(
        "name", description="The order; with a minus sign it is turned round. A cursor belongs to one order."
    )

    @property
    def order(self) -> ProductOrder:
        """The order asked for."""
        return ProductOrder(ProductSort(self.sort.lstrip("-")), descending=self.sort.startswith("-"))


class ProductBody(RequestBody):
    """A product to create or, when the SKU exists, to change. What is left out takes its default, also on a change."""

    sku: Code = Field(description="The shop's own code; names the product for good.", examples=["YER-500"])
    name: str = Field(min_length=1, max_length=400, pattern=r"^[^\x00]*$", examples=["Yerba mate 500 g"])
    unit_price_minor: Price = Field(0, description="Price of one unit in minor units (cents).", examples=[285000])
    unit_cost_minor: Price | None = Field(
        None,
        description="What a unit costs the shop, without tax. Left out: the one that is known stays.",
        examples=[190000],
    )
    currency: Currency | None = Field(None, description="ISO 4217; ARS when left out.", examples=["ARS"])
    tax_rate_bp: int = Field(
        0, ge=0, le=BASIS_POINT_SCALE, description="Tax in basis points: 21 % is 2100.", examples=[2100]
    )
    category: str = Field("", max_length=400, pattern=r"^[^\x00]*$", examples=["Almacén"])
    barcodes: list[Code] = Field(
        default_factory=list, max_length=50, description="Each names one product only.", examples=[["7790387000014"]]
    )
    tracked: bool = Field(True, description="False for services, which have no stock. Fixed once the product exists.")
    by_lot: bool = Field(False, description="Kept by lot with expiry dates. Fixed once the product exists.")
    active: bool = Field(True, description="Whether it is sold.")

    def to_input(self) -> ProductInput:
        """The product as the use case takes it."""
        return ProductInput(
            sku=self.sku,
            name=self.name,
            price_minor=self.unit_price_minor,
            currency=self.currency,
            tax_rate_bp=self.tax_rate_bp,
            category=self.category,
            barcodes=tuple(self.barcodes),
            tracked=self.tracked,
            by_lot=self.by_lot,
            active=self.active,
            cost_minor=self.unit_cost_minor,
        )


class ProductsBody(RequestBody):
    """Products, all saved or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "products": [
                        {
                            "sku": "YER-500",
                            "name": "Yerba mate 500 g",
                            "unit_price_minor": 285000,
                            "currency": "ARS",
                            "tax_rate_bp": 2100,
                            "category": "Almacén",
                            "barcodes": ["7790387000014"],
                        }
                    ]
                }
            ]
        }
    )

    products: list[ProductBody] = Field(min_length=1, max_length=MOST_PRODUCTS, description="Each SKU once.")


class ProductsSavedOut(BaseModel):
    """What was saved."""

    ids: list[str] = Field(description="Ids in the order of the request.")
    created: int = Field(examples=[1])
    updated: int = Field(examples=[0])

    @classmethod
    def of(cls, saved: ProductsSaved) -> ProductsSavedOut:
        """The answer for a result."""
        return cls(ids=list(saved.ids), created=saved.created, updated=saved.updated)


class ProductOut(BaseModel):
    """A product."""

    id: str = Field(examples=["0195f3a0-0000-7000-8000-000000000001"])
    sku: str = Field(examples=["YER-500"])
    name: str = Field(examples=["Yerba mate 500 g"])
    category: str = Field(examples=["Almacén"])
    barcodes: list[str] = Field(examples=[["7790387000014"]])
    unit_price_minor: int = Field(description="Price of one unit in minor units of `currency`.", examples=[285000])
    unit_cost_minor: int | None = Field(
        description="What a unit costs the shop, without tax; null when it is not known, or to whoever may not set prices.",
        examples=[190000],
    )
    currency: str = Field(examples=["ARS"])
    tax_rate_bp: int = Field(description="Tax in basis points: 21 % is 2100.", examples=[2100])
    tracked: bool = Field(description="False for services, which have no stock.")
    by_lot: bool = Field(description="Kept by lot with expiry dates.")
    active: bool

    @classmethod
    def of(cls, product: Product) -> ProductOut:
        """The answer for a product."""
        return cls(
            id=product.id,
            sku=product.sku,
            name=product.name,
            category=product.category,
            barcodes=list(product.barcodes),
            unit_price_minor=product.price_minor,
            unit_cost_minor=product.cost_minor,
            currency=product.currency,
            tax_rate_bp=product.tax_rate_bp,
            tracked=product.tracked,
            by_lot=product.by_lot,
            active=product.active,
        )


class LocationBody(RequestBody):
    """A location to create or, when the code exists, to change."""

    code: Code = Field(examples=["CENTRO"])
    name: str = Field(min_length=1, max_length=400, pattern=r"^[^\x00]*$", examples=["Local Centro"])
    allow_negative: bool = Field(
        False, description="Whether stock may go below zero here. Fixed once the location exists."
    )
    active: bool = True

    def to_input(self) -> LocationInput:
        """The location as the use case takes it."""
        return LocationInput(self.code, self.name, self.allow_negative, self.active)


class LocationOut(BaseModel):
    """A place that holds stock."""

    id: str = Field(examples=["0195f3a0-0000-7000-8000-000000000002"])
    code: str = Field(examples=["CENTRO"])
    name: str = Field(examples=["Local Centro"])
    allow_negative: bool = Field(description="Whether stock may go below zero here.")
    active: bool

    @classmethod
    def of(cls, location: Location) -> LocationOut:
        """The answer for a location."""
        return cls(
            id=location.id,
            code=location.code,
            name=location.name,
            allow_negative=location.allow_negative,
            active=location.active,
        )


PRODUCT_SHEET: Sheet[ProductOut] = Sheet(
    "products",
    (
        "sku",
        "name",
        "category",
        "barcodes",
        "unit_price",
        "currency",
        "tax_rate_bp",
        "tracked",
        "by_lot",
        "active",
        "id",
    ),
    lambda p: [
        (
            p.sku,
            p.name,
            p.category,
            " ".join(p.barcodes),
            Figure(format_amount(p.unit_price_minor, p.currency)),
            p.currency,
            p.tax_rate_bp,
            p.tracked,
            p.by_lot,
            p.active,
            p.id,
        )
    ],
)
