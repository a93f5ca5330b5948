"""A real year of a shop: the UCI Online Retail transactions, every row as it was published, from a 1 MB file.

The shop is a gift wholesaler in the United Kingdom; prices are GBP, hours are the wall clock of London (the source
names no zone, its hours run from 6 to 20). The rows are in the order of the source and by time. Consecutive rows mostly
share their invoice, minute, customer and country, so these four are stored once per *run* of such rows; descriptions and
prices are stored as the place in a short list per stock code, the most frequent first, so nearly all are 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from operator import add
from typing import NamedTuple

from nervio.runtime.demo.columns import read_columns

FILE_NAME = "online_retail.columns.gz"

CURRENCY = "GBP"
TIME_ZONE = "Europe/London"

FIRST_MINUTE = datetime(2010, 12, 1)  # noqa: DTZ001 - wall clock of the shop, as in the source
"""Minutes of a run are counted from here, in the wall clock of the shop."""

INVOICE_KINDS = ("", "C", "A")
"""What stands before the six digits of an invoice number: nothing, C for a cancellation, A for an adjusted debt."""

MILLS_PER_MINOR = 10
"""Prices are kept in thousandths of a pound (mills), because four rows have a price of 0.001."""

NOT_TRACKED: Mapping[str, str] = {
    "AMAZONFEE": "fee of a marketplace",
    "B": "bad debt",
    "BANK CHARGES": "bank charges",
    "C2": "carriage",
    "CRUK": "commission to a charity",
    "D": "discount",
    "DOT": "postage of the online shop",
    "M": "manual entry of an amount",
    "POST": "postage",
    "S": "samples, booked as a cost",
    "gift_0001_10": "gift voucher of 10 GBP",
    "gift_0001_20": "gift voucher of 20 GBP",
    "gift_0001_30": "gift voucher of 30 GBP",
    "gift_0001_40": "gift voucher of 40 GBP",
    "gift_0001_50": "gift voucher of 50 GBP",
    "m": "manual entry of an amount",
}
"""Stock codes that are no goods, and what they are. The other codes without a number in front are goods: PADS are cushion
pads, DCGS… are articles of the online shop."""


class Run(NamedTuple):
    """Consecutive rows, `first` up to but not including `stop`, that share the head of an invoice."""

    first: int
    stop: int
    invoice: str
    minute: int
    customer: int | None
    country: str


class RetailRow(NamedTuple):
    """One row of the source, in its own terms; `price_mills` is UnitPrice in thousandths."""

    invoice: str
    stock_code: str
    description: str | None
    quantity: int
    moment: datetime
    price_mills: int
    customer: int | None
    country: str


@dataclass(frozen=True, slots=True)
class RetailYear:
    """All rows in columns: `code_ids`, `description_ids`, `price_ids` and `quantities` have one entry per row.

    A description or price id is a place in `descriptions` or `prices_mills`, where the entries of one stock code stand
    together and code after code: those of code id c begin at `description_starts[c]` and `price_starts[c]` (each with one
    entry more, the end). An empty description means that the source has none.
    """

    runs: Sequence[Run]
    stock_codes: Sequence[str]
    code_ids: Sequence[int]
    descriptions: Sequence[str]
    description_starts: Sequence[int]
    description_ids: Sequence[int]
    prices_mills: Sequence[int]
    price_starts: Sequence[int]
    price_ids: Sequence[int]
    quantities: Sequence[int]

    def rows(self) -> Iterator[RetailRow]:
        """Every row as it stands in the source, in its order. Slow (about a second for the year): for checks."""
        for run in self.runs:
            moment = FIRST_MINUTE + timedelta(minutes=run.minute)
            for row in range(run.first, run.stop):
                yield RetailRow(
                    run.invoice,
                    self.stock_codes[self.code_ids[row]],
                    self.descriptions[self.description_ids[row]] or None,
                    self.quantities[row],
                    moment,
                    self.prices_mills[self.price_ids[row]],
                    run.customer,
                    run.country,
                )


def read_retail_year() -> RetailYear:
    """The whole year from the package's own file; about a quarter of a second."""
    columns = read_columns(FILE_NAME)
    code_ids = columns.numbers("code")
    description_starts = [0, *accumulate(columns.numbers("descriptions_per_code"))]
    price_starts = [0, *accumulate(columns.numbers("prices_per_code"))]
    quantity_of = columns.numbers("quantity_table").__getitem__
    stops = list(accumulate(columns.numbers("run_length")))
    countries = columns.texts("country_table")
    runs = [
        Run(first, stop, f"{INVOICE_KINDS[kind]}{number}", minute, customer or None, countries[country])
        for first, stop, kind, number, minute, customer, country in zip(
            [0, *stops],
            stops,
            columns.numbers("run_invoice_kind"),
            columns.numbers("run_invoice_number"),
            columns.numbers("run_minute"),
            columns.numbers("run_customer"),
            columns.numbers("run_country"),
            strict=False,  # the list of first rows has one entry more, the end
        )
    ]
    return RetailYear(
        runs=runs,
        stock_codes=columns.texts("code_table"),
        code_ids=code_ids,
        descriptions=columns.texts("description_table"),
        description_starts=description_starts,
        description_ids=list(map(add, map(description_starts.__getitem__, code_ids), columns.numbers("description"))),
        prices_mills=columns.numbers("price_table"),
        price_starts=price_starts,
        price_ids=list(map(add, map(price_starts.__getitem__, code_ids), columns.numbers("price"))),
        quantities=list(map(quantity_of, columns.numbers("quantity"))),
    )
