"""The year of retail as one ordered stream of records. Every row of the source ends up in exactly one of them.

457,118 rows on 22,585 invoices, 8,350,319.404 GBP. An invoice is one thing as a whole, told by its number and its sign:

====================  ========  =======  ==================================================================
invoice               invoices  rows     becomes
====================  ========  =======  ==================================================================
digits, quantity > 0    17,946  447,625  a ticket, one line a row, in the order of the source
digits, quantity < 0     1,211    1,211  a stock adjustment (damages, counts, corrections), always 1 row
C and digits             3,425    8,279  a return; every quantity is negative
A and digits                 3        3  money without goods: bad debt adjusted (+, -, - 11,062.06)
====================  ========  =======  ==================================================================

Odd rows and what becomes of them:

- **Price 0, quantity > 0** (1,069 rows): a line of its ticket at price 0, a gift. 658 of them are alone on an invoice
  without a customer, and notes such as "found" or "check" show that some were corrections; the source does not mark which, so
  they stay tickets of total 0.
- **Price 0.001** (4 rows, 3 PADS and 1 BANK CHARGES): prices are rounded to the nearest penny, halves up, so these cost
  nothing; 0.004 GBP is the whole difference between the source and the books.
- **Two minutes on one invoice** (41 invoices): the time is that of the first row.
- **An invoice in two pieces** (542806, another one between): one ticket at the place of its first row.
- **The same product twice on an invoice** (8,105 rows more than products): separate lines, as in the source.
- **Adjustments** have price 0; the description is the reason, and 842 have none (`NO_REASON`).
- **Codes that differ in case only** (106 pairs, "84596g" and "84596G"): different products, as in the source.
- **Services, fees, discounts, vouchers** (`NOT_TRACKED`): products without stock. A discount comes only on C invoices, so
  it is a refund of a product that has no stock.
- **Returns** are matched row by row with the latest earlier ticket of the same customer that has units of the same product
  at the same unit price not yet returned, latest line first, and further back while units are left: 6,371 of the 8,279
  rows find a sale, 135 rows become several lines, 158,599 of 186,421 units. What finds none (no customer, bought before
  this year, another price) is a blind line. The price must agree because a return against a ticket refunds what was paid.
- **Descriptions**: a product's is the most frequent one on its rows with a price, without spaces at the ends. Rows without
  a price carry notes ("thrown away", "ebay"), so 133 products are called by their code.
- **List price**: the most frequent price above 0 on tickets, of equals the one in the earlier place of the list; else 0.

The opening stock is the smallest with which stock never goes below zero while the records are replayed in order: the
deepest point of each product's running sum. It is dated to the start of the first day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, compress
from operator import mul
from typing import TypeAlias

from nervio.kernel.money import round_half_up
from nervio.kernel.quantity import UNIT
from nervio.kernel.time import Instant, from_datetime
from nervio.runtime.demo.records import (
    Adjustment,
    MoneyAdjustment,
    OpeningReceipt,
    PlannedProduct,
    Record,
    RetailPlan,
    Return,
    ReturnLine,
    Ticket,
    TicketLine,
    opening_receipts,
)
from nervio.runtime.demo.retail import FIRST_MINUTE, MILLS_PER_MINOR, NOT_TRACKED, RetailYear, Run
from nervio.runtime.demo.retail_summary import summarize

NO_REASON = "no reason given"
"""The reason of an adjustment whose row has no description."""

_MINUTE = 60_000_000
_HOUR = 60 * _MINUTE
_FIRST_INSTANT = from_datetime(FIRST_MINUTE.replace(tzinfo=UTC))  # London is on UTC in December
_SUMMER_TIME = range(
    (datetime(2011, 3, 27, 2) - FIRST_MINUTE) // timedelta(minutes=1),  # noqa: DTZ001 - minutes of the wall clock
    (datetime(2011, 10, 30, 2) - FIRST_MINUTE) // timedelta(minutes=1),  # noqa: DTZ001
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of the source in the units of the house."""

    skus: Sequence[str]
    quantities: Sequence[int]
    prices: Sequence[int]

    def lines(self, run: Run) -> Iterator[TicketLine]:
        """The rows of a run as lines of a ticket; of a return they have negative quantities."""
        here = slice(run.first, run.stop)
        return zip(self.skus[here], self.quantities[here], self.prices[here], strict=True)

    def total(self, runs: Iterable[Run]) -> int:
        """The sum of quantity × unit price, exact because every quantity of the source is in whole units."""
        milli = 0
        for run in runs:
            here = slice(run.first, run.stop)
            milli += sum(map(mul, self.quantities[here], self.prices[here]))
        return milli // UNIT


@dataclass(frozen=True, slots=True)
class _Head:
    """What the rows of one invoice share."""

    number: str
    effective_at: Instant
    customer: str | None
    country: str


_Purchase: TypeAlias = tuple[str | None, str, int]
"""Who bought which product at which unit price: what a return is recognised by."""


class _Sold:
    """Units that may still come back, per purchase in the order of their sale."""

    def __init__(self, returned: Iterable[_Purchase]) -> None:
        # Most of what is sold never comes back; remembering only what does saves a third of the planner's time.
        self._left: dict[_Purchase, list[tuple[str, int, int]]] = {purchase: [] for purchase in returned}
        self._skus: dict[str | None, set[str]] = defaultdict(set)
        for customer, sku, _ in self._left:
            self._skus[customer].add(sku)

    def add(self, ticket: Ticket) -> None:
        skus = self._skus.get(ticket.customer)
        if skus is None:
            return
        for place, (sku, quantity, price) in enumerate(ticket.lines):
            if sku in skus and (left := self._left.get((ticket.customer, sku, price))) is not None:
                left.append((ticket.number, place, quantity))

    def take_back(self, purchase: _Purchase, quantity: int) -> list[ReturnLine]:
        """Lines that together return `quantity`, latest sale first, what no sale accounts for in a blind line last."""
        _, sku, price = purchase
        left = self._left.get(purchase, [])
        lines = []
        while quantity and left:
            ticket, place, units = left.pop()
            taken = min(quantity, units)
            if taken < units:
                left.append((ticket, place, units - taken))
            lines.append(ReturnLine(sku, taken, price, ticket, place))
            quantity -= taken
        if quantity:
            lines.append(ReturnLine(sku, quantity, price, None, None))
        return lines


def plan_retail_year(year: RetailYear) -> RetailPlan:
    """The year as products, records in order and the figures they must lead to, the same at each call; one to two seconds."""
    rows = _rows(year)
    events = _events(year, rows)
    products = _products(year)
    opening_stock = _opening_stock(events, [product.sku for product in products if product.tracked])
    return RetailPlan(
        products=products,
        records=(*opening_receipts(opening_stock, _FIRST_INSTANT), *events),
        opening_stock=opening_stock,
        summary=summarize(year),
    )


def instant_of(minute: int) -> Instant:
    """The instant of a minute of the source: the wall clock of London, an hour ahead of UTC in summer."""
    return _FIRST_INSTANT + minute * _MINUTE - (_HOUR if minute in _SUMMER_TIME else 0)


def _rows(year: RetailYear) -> _Rows:
    # Looked up rather than computed for each row: equal numbers are then one object, which saves memory and its time.
    minor = [round_half_up(mills, MILLS_PER_MINOR) for mills in year.prices_mills]
    milli = {quantity: quantity * UNIT for quantity in set(year.quantities)}
    return _Rows(
        skus=list(map(year.stock_codes.__getitem__, year.code_ids)),
        quantities=list(map(milli.__getitem__, year.quantities)),
        prices=list(map(minor.__getitem__, year.price_ids)),
    )


def _events(year: RetailYear, rows: _Rows) -> list[Record]:
    """One record for each invoice, in the order of their first rows."""
    invoices: dict[str, list[Run]] = {}
    for run in year.runs:
        invoices.setdefault(run.invoice, []).append(run)
    sold = _Sold(
        (_customer(run), sku, price)
        for run in year.runs
        if run.invoice.startswith("C") and run.customer is not None
        for sku, _, price in rows.lines(run)
    )
    events: list[Record] = []
    for number, runs in invoices.items():
        first = runs[0]
        head = _Head(number, instant_of(first.minute), _customer(first), first.country)
        row = first.first
        if number.startswith("C"):
            events.append(_return(head, rows, runs, sold))
        elif number.startswith("A"):
            events.append(MoneyAdjustment(number, head.effective_at, rows.total(runs), _reason(year, row)))
        elif rows.quantities[row] < 0:
            quantity = rows.quantities[row]
            events.append(Adjustment(number, head.effective_at, rows.skus[row], quantity, _reason(year, row)))
        else:
            ticket = _ticket(head, rows, runs)
            sold.add(ticket)
            events.append(ticket)
    return events


def _customer(run: Run) -> str | None:
    return None if run.customer is None else str(run.customer)


def _reason(year: RetailYear, row: int) -> str:
    return year.descriptions[year.description_ids[row]].strip() or NO_REASON


def _ticket(head: _Head, rows: _Rows, runs: Sequence[Run]) -> Ticket:
    return Ticket(
        number=head.number,
        effective_at=head.effective_at,
        customer=head.customer,
        country=head.country,
        lines=tuple(chain.from_iterable(map(rows.lines, runs))),
        total=rows.total(runs),
    )


def _return(head: _Head, rows: _Rows, runs: Sequence[Run], sold: _Sold) -> Return:
    lines: list[ReturnLine] = []
    for sku, quantity, price in chain.from_iterable(map(rows.lines, runs)):
        lines += sold.take_back((head.customer, sku, price), -quantity)
    return Return(
        number=head.number,
        effective_at=head.effective_at,
        customer=head.customer,
        country=head.country,
        lines=tuple(lines),
        total=-rows.total(runs),
    )


def _products(year: RetailYear) -> tuple[PlannedProduct, ...]:
    on_tickets: list[int] = []
    for run in year.runs:
        if run.invoice.isdigit():
            on_tickets += year.price_ids[run.first : run.stop]
    times_charged = Counter(on_tickets)
    has_price = map(year.prices_mills.__getitem__, year.price_ids)  # before rounding: 0.001 is one
    times_called = Counter(compress(year.description_ids, has_price))
    return tuple(
        PlannedProduct(
            sku=sku,
            description=_most_frequent_text(year, code, times_called) or sku,
            list_price=_most_frequent_price(year, code, times_charged),
            tracked=sku not in NOT_TRACKED,
        )
        for code, sku in enumerate(year.stock_codes)
    )


def _most_frequent_text(year: RetailYear, code: int, times: Mapping[int, int]) -> str:
    """The text of a code that `times` counts most often, the earlier in the list of equals; "" where it has none."""
    counts: Counter[str] = Counter()
    for place in range(year.description_starts[code], year.description_starts[code + 1]):
        text = year.descriptions[place].strip()
        if text and place in times:
            counts[text] += times[place]
    return counts.most_common(1)[0][0] if counts else ""


def _most_frequent_price(year: RetailYear, code: int, times: Mapping[int, int]) -> int:
    places = [
        place
        for place in range(year.price_starts[code], year.price_starts[code + 1])
        if year.prices_mills[place] > 0 and place in times
    ]
    best = max(places, key=times.__getitem__, default=None)
    return 0 if best is None else round_half_up(year.prices_mills[best], MILLS_PER_MINOR)


def _opening_stock(events: Iterable[Record], tracked: Iterable[str]) -> dict[str, int]:
    """For each product the smallest quantity to begin with: whenever the events run short, they began with so much more."""
    level: dict[str, int] = defaultdict(int)
    opening: dict[str, int] = defaultdict(int)
    for event in events:
        match event:
            case Ticket():
                for sku, quantity, _ in event.lines:
                    after = level[sku] - quantity
                    if after < 0:
                        opening[sku] -= after
                        after = 0
                    level[sku] = after
            case Return():
                for line in event.lines:
                    level[line.sku] += line.quantity
            case Adjustment(sku=sku):
                after = level[sku] + event.quantity
                opening[sku] += max(0, -after)
                level[sku] = max(0, after)
            case MoneyAdjustment() | OpeningReceipt():
                pass  # the first moves no stock, the second is what this function finds
    return {sku: opening[sku] for sku in tracked}
