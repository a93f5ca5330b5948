"""Rules of master data on plain values."""

from __future__ import annotations

import unicodedata

from nervio.kernel.errors import invalid
from nervio.kernel.money import BASIS_POINT_SCALE, LARGEST, check_currency
from nervio.modules.catalog.contracts import ProductInput

LONGEST_CODE = 64
LONGEST_NAME = 400


def fold(text: str) -> str:
    """Lower case without accents, as search text is stored and asked for."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def search_text(product: ProductInput) -> str:
    """What a product is found by."""
    return fold(" ".join((product.name, product.sku, *product.barcodes, product.category)))


def check_code(code: str, field: str) -> str:
    """A SKU, barcode or location code: 1 to 64 printable characters without surrounding spaces."""
    if not code or len(code) > LONGEST_CODE or code != code.strip() or not code.isprintable():
        raise invalid("invalid_code", f"{field} must be 1 to {LONGEST_CODE} printable characters.", field=field)
    return code


def check_name(name: str, field: str) -> str:
    """A name people read."""
    if not name.strip() or len(name) > LONGEST_NAME or "\x00" in name:
        raise invalid("invalid_name", f"{field} must be 1 to {LONGEST_NAME} characters.", field=field)
    return name


def check_product(product: ProductInput, field: str) -> None:
    """Refuses a product that no till could sell; `field` is the path of the product in the request."""
    check_code(product.sku, f"{field}.sku")
    check_name(product.name, f"{field}.name")
    for n, barcode in enumerate(product.barcodes):
        check_code(barcode, f"{field}.barcodes[{n}]")
    if not 0 <= product.price_minor <= LARGEST:
        raise invalid(
            "invalid_price", f"{field}.price_minor must be between 0 and {LARGEST}.", field=f"{field}.price_minor"
        )
    if product.cost_minor is not None and not 0 <= product.cost_minor <= LARGEST:
        path = f"{field}.cost_minor"
        raise invalid("invalid_cost", f"{path} must be between 0 and {LARGEST}.", field=path)
    if not 0 <= product.tax_rate_bp <= BASIS_POINT_SCALE:
        path = f"{field}.tax_rate_bp"
        raise invalid("invalid_tax_rate", f"{path} must be 0 to 10000 basis points (21 % is 2100).", field=path)
    if product.currency is not None:
        check_currency(product.currency, f"{field}.currency")
    if len(product.category) > LONGEST_NAME or "\x00" in product.category:
        raise invalid("invalid_category", f"{field}.category is too long.", field=f"{field}.category")
