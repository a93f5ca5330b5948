"""Rows of a file against the products there are: what each would do, and why some can do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from nervio.kernel.money import minor_digits
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductInput
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import Texts
from nervio.modules.console.requests import explain
from nervio.modules.console.rooms.imports.reading import Row, Sheet
from nervio.modules.console.typed import read_figure

TAX_DIGITS = 2
_AMOUNT = re.compile(
    r"(?:[A-Z]{0,3}\s?[$€£]|[A-Z]{3}|S/\.?|Bs\.?|Gs\.?)?\s*"
    r"-?(?:\d{1,3}(?:([.,'\s])\d{3})(?:\1\d{3})*|\d+)?(?:[.,]\d+)?\s*(?:[$€£]|[A-Z]{3})?"
)
_YES = {"si", "sí", "s", "yes", "y", "true", "verdadero", "1", "x"}
_NO = {"no", "n", "false", "falso", "0"}


class Status(StrEnum):
    """What a row would do."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Change:
    """A field that would change, by the key of its label, before and after as people read them."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the preview. `given` is what would be saved; None where nothing would."""

    number: int
    sku: str
    name: str
    status: Status
    reason: str = ""
    changes: tuple[Change, ...] = ()
    given: ProductInput | None = None


class RowRefused(Exception):
    """A row that cannot be saved, with the reason in the reader's words."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How the shop and the reader write things."""

    formats: Formats
    t: Texts

    def compare(self, sheet: Sheet, known: Mapping[str, Product], owners: Mapping[str, str]) -> list[Candidate]:
        """Every row of the file in its order. `known`: SKU → product; `owners`: barcode → id of the product that has it."""
        seen_skus: dict[str, int] = {}
        seen_codes: dict[str, int] = {}
        found = []
        for row in sheet.rows:
            product = known.get(row.cells.get("sku", ""))
            try:
                candidate = self._judged(row, product, owners, seen_skus, seen_codes)
            except RowRefused as refusal:
                name = row.cells.get("name") or (product.name if product else "")
                candidate = Candidate(row.number, row.cells.get("sku", ""), name, Status.REFUSED, str(refusal))
            found.append(candidate)
            if candidate.status is not Status.REFUSED:
                seen_skus[candidate.sku] = row.number
                seen_codes.update(dict.fromkeys(barcodes_of(row), row.number))
        return found

    def _judged(
        self,
        row: Row,
        product: Product | None,
        owners: Mapping[str, str],
        seen_skus: Mapping[str, int],
        seen_codes: Mapping[str, int],
    ) -> Candidate:
        t, sku = self.t, row.cells.get("sku", "")
        if row.fault:
            raise RowRefused(t(f"imports.{row.fault}"))
        if not sku:
            raise RowRefused(t("imports.no_sku_here"))
        if sku in seen_skus:
            raise RowRefused(t("imports.sku_again", row=seen_skus[sku]))
        given = self._input(row, product)
        for code in given.barcodes:
            if code in seen_codes:
                raise RowRefused(t("imports.barcode_again", code=code, row=seen_codes[code]))
            if owners.get(code, product.id if product else None) != (product.id if product else None):
                raise RowRefused(t("imports.barcode_taken", code=code))
        if (fault := catalog.find_fault(given)) is not None:
            raise RowRefused(explain(t, fault))
        if product is None:
            return Candidate(row.number, sku, given.name, Status.NEW, changes=self._first(given), given=given)
        if (given.tracked, given.by_lot) != (product.tracked, product.by_lot):
            raise RowRefused(t("problem.stock_keeping_fixed"))
        changes = self._changes(product, given)
        status = Status.CHANGED if changes else Status.UNCHANGED
        return Candidate(row.number, sku, given.name, status, changes=changes, given=given if changes else None)

    def _input(self, row: Row, product: Product | None) -> ProductInput:
        """What the row asks for. A cell that is empty, or a column that is not there, leaves what there is."""
        cells = {field: text for field, text in row.cells.items() if text}
        if product is None:
            for field in ("name", "price"):
                if field not in cells:
                    raise RowRefused(self.t("imports.needed", field=self.t(f"col.{field}")))
            given = ProductInput(sku=cells["sku"], name="", currency=self.formats.currency)
        else:
            given = input_of(product)
        currency = cells.get("currency", given.currency or self.formats.currency).upper()
        given = replace(given, currency=currency, name=cells.get("name", given.name))
        if "category" in cells:
            given = replace(given, category=cells["category"])
        if "price" in cells:
            given = replace(given, price_minor=self._amount(cells["price"], minor_digits(currency)))
        if "tax" in cells or "tax_bp" in cells:
            given = replace(given, tax_rate_bp=self._tax(cells))
        if "barcodes" in cells:
            given = replace(given, barcodes=self._barcodes(row))
        return replace(
            given,
            tracked=self._flag(cells.get("tracked"), given.tracked),
            by_lot=self._flag(cells.get("by_lot"), given.by_lot),
            active=self._flag(cells.get("active"), given.active),
        )

    def _amount(self, text: str, digits: int) -> int:
        mark = self.formats.number(0, "0")[1]
        value = read_figure(text, digits, mark) if _AMOUNT.fullmatch(text.strip()) else None
        if value is None or value < 0:
            raise RowRefused(self.t("imports.bad_amount", value=text[:40]))
        return value

    def _tax(self, cells: Mapping[str, str]) -> int:
        text = cells.get("tax", cells.get("tax_bp", ""))
        if "tax" not in cells:
            value = int(text) if re.fullmatch(r"\d{1,5}", text, re.ASCII) else None
        else:
            bare = text.rstrip("% ")
            is_plain = re.fullmatch(r"\d{1,3}(?:[.,]\d+)?", bare, re.ASCII)
            value = read_figure(bare.replace(",", "."), TAX_DIGITS, ".") if is_plain else None
        if value is None or value > 10_000:
            raise RowRefused(self.t("imports.bad_tax", value=text[:40]))
        return value

    def _barcodes(self, row: Row) -> tuple[str, ...]:
        codes = barcodes_of(row)
        for code in codes:
            if re.fullmatch(r"\d[.,]\d+E\+?\d+", code, re.IGNORECASE):
                raise RowRefused(self.t("imports.barcode_rounded", value=code))
        return codes

    def _flag(self, text: str | None, stored: bool) -> bool:
        if text is None:
            return stored
        if text.lower() not in _YES | _NO:
            raise RowRefused(self.t("imports.bad_flag", value=text[:40]))
        return text.lower() in _YES

    def _first(self, given: ProductInput) -> tuple[Change, ...]:
        shown = [
            Change("col.price", "", self._price(given.price_minor, given.currency or "")),
            Change("col.category", "", given.category),
            Change("products.barcodes", "", " ".join(given.barcodes)),
        ]
        return tuple(change for change in shown if change.after)

    def _changes(self, product: Product, given: ProductInput) -> tuple[Change, ...]:
        pairs = [
            Change("col.name", product.name, given.name),
            Change(
                "col.price",
                self._price(product.price_minor, product.currency),
                self._price(given.price_minor, given.currency or ""),
            ),
            Change("col.category", product.category, given.category),
            Change("products.barcodes", " ".join(sorted(product.barcodes)), " ".join(sorted(given.barcodes))),
            Change("products.tax", self._percent(product.tax_rate_bp), self._percent(given.tax_rate_bp)),
            Change("products.active", self._yes_no(product.active), self._yes_no(given.active)),
        ]
        return tuple(change for change in pairs if change.before != change.after)

    def _price(self, minor: int, currency: str) -> str:
        return replace(self.formats, currency=currency).money(minor)

    def _percent(self, bp: int) -> str:
        whole, rest = divmod(bp, 100)
        return f"{self.formats.number(whole, f'{rest:02d}'.rstrip('0'))} %"

    def _yes_no(self, value: bool) -> str:
        return self.t("imports.yes" if value else "imports.no")


def input_of(product: Product) -> ProductInput:
    """A stored product as what would save it again."""
    return ProductInput(
        sku=product.sku,
        name=product.name,
        price_minor=product.price_minor,
        currency=product.currency,
        tax_rate_bp=product.tax_rate_bp,
        category=product.category,
        barcodes=product.barcodes,
        tracked=product.tracked,
        by_lot=product.by_lot,
        active=product.active,
    )


def barcodes_of(row: Row) -> tuple[str, ...]:
    """The barcodes of a row, each once; several stand with spaces, commas, semicolons or bars between them."""
    text = row.cells.get("barcodes", "")
    if re.fullmatch(r"\d[.,]\d+E\+?\d+", text, re.IGNORECASE):
        return (text,)
    return tuple(dict.fromkeys(code for code in re.split(r"[\s,;|/]+", text) if code))


def count(candidates: Iterable[Candidate]) -> dict[str, int]:
    """How many rows there are of each status."""
    counts = {status.value: 0 for status in Status}
    for candidate in candidates:
        counts[candidate.status.value] += 1
    return counts
