"""Figures of sales that the rules of safety watch.

Margins are measured at today's cost of a product and discounts against today's list price, since a ticket keeps neither.
A window looks at its newest tickets only, and at no more of them than a look can afford.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.money import BASIS_POINT_SCALE, line_amount, round_half_up
from nervio.kernel.quantity import UNIT
from nervio.kernel.time import DAY, SECOND
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductFigures
from nervio.modules.sales import store
from nervio.modules.stock import api as stock
from nervio.ports.probes import Question, Reading

MOST_IN_WINDOW = 5_000
MOST_IN_BASELINE = 20_000
"""Tickets of a window and of the days before it."""

MOST_NEW = 500
"""How many products that nobody asked for by name an answer holds, the worst first."""


async def read_margins(ctx: Ctx, question: Question) -> list[Reading]:
    """Of each product sold in the window the lowest margin at which a line of it went, in basis points of its price without
    tax, rounded down and never below -100 %. Products without a cost are left out."""
    since = question.now - question.window_seconds * SECOND

    def query(connection: TenantConnection) -> list[Reading]:
        sold = store.sum_sold(connection, since, question.now, MOST_IN_WINDOW)
        known = catalog.read_figures(connection, [row[0] for row in sold])
        found = []
        for product_id, currency, _, _, lines, least in sold:
            product = known.get(product_id)
            if product is None or product.cost_minor is None or product.currency != currency:
                continue
            value = margin_bp(least, product.cost_minor)
            figures: dict[str, int | str] = {
                "product": product.name,
                "net_minor": least,
                "cost_minor": product.cost_minor,
                "samples_count": lines,
            }
            found.append(Reading(product_id, value, lines, product_id, figures=figures))
        return _worst_first(found, question)

    return await ctx.read(query)


async def read_margin_fall(ctx: Ctx, question: Question) -> list[Reading]:
    """How many basis points the margin of the window lies below the one of the days before it; negative where it rose.
    Nothing while one of the two has sold nothing whose cost is known."""
    since = question.now - question.window_seconds * SECOND
    before = since - question.baseline_seconds * SECOND

    def query(connection: TenantConnection) -> list[Reading]:
        now_sold = store.sum_sold(connection, since, question.now, MOST_IN_WINDOW)
        usual_sold = store.sum_sold(connection, before, since, MOST_IN_BASELINE)
        known = catalog.read_figures(connection, [row[0] for row in (*now_sold, *usual_sold)])
        now, usual = _margin_of(now_sold, known), _margin_of(usual_sold, known)
        if now is None or usual is None:
            return []
        figures = {"now_bp": now[0], "usual_bp": usual[0], "samples_count": now[1]}
        return [Reading("", usual[0] - now[0], now[1], figures=figures)]

    return await ctx.read(query)


async def read_refunds(ctx: Ctx, question: Question) -> list[Reading]:
    """How many basis points more of a location's money went back in the window than in the days before it, in the currency in
    which the location made most of its tickets."""
    since = question.now - question.window_seconds * SECOND
    before = since - question.baseline_seconds * SECOND

    def query(connection: TenantConnection) -> list[Reading]:
        now = _by_place(store.sum_places(connection, since, question.now, MOST_IN_WINDOW))
        usual = _by_place(store.sum_places(connection, before, since, MOST_IN_BASELINE)) if now else {}
        places = catalog.read_locations(connection) if now else {}
        found = []
        for location_id, (currency, taken, given_back, tickets) in now.items():
            before_now = usual.get(location_id)
            same = before_now is not None and before_now[0] == currency
            usual_bp = share_bp(before_now[2], before_now[1]) if same and before_now is not None else 0
            now_bp = share_bp(given_back, taken)
            figures: dict[str, int | str] = {
                "location": places[location_id].name,
                "now_bp": now_bp,
                "usual_bp": usual_bp,
                "samples_count": tickets,
            }
            value = now_bp - usual_bp
            found.append(Reading(location_id, value, tickets, location_id=location_id, figures=figures))
        return found

    return await ctx.read(query)


async def read_discounts(ctx: Ctx, question: Question) -> list[Reading]:
    """How much less than the list price each location took in the window, in basis points of the list price. Lines at or above
    their list price give nothing away; those in another currency than the product's count nowhere."""
    since = question.now - question.window_seconds * SECOND

    def query(connection: TenantConnection) -> list[Reading]:
        rows = store.sum_prices(connection, since, question.now, MOST_IN_WINDOW)
        known = catalog.read_figures(connection, [row[1] for row in rows])
        places = catalog.read_locations(connection) if rows else {}
        sums: dict[str, _Given] = {}
        for location_id, product_id, currency, unit_price, quantity, lines in rows:
            product = known.get(product_id)
            if product is not None and product.currency == currency:
                sums.setdefault(location_id, _Given()).add(product.price_minor, unit_price, quantity, lines)
        return [
            Reading(
                location_id,
                share_bp(given.given, given.listed),
                given.lines,
                location_id=location_id,
                figures={
                    "location": places[location_id].name,
                    "given_minor": given.given,
                    "list_minor": given.listed,
                    "samples_count": given.lines,
                },
            )
            for location_id, given in sums.items()
        ]

    return await ctx.read(query)


async def read_days_left(ctx: Ctx, question: Question) -> list[Reading]:
    """Days until what is available of each product sold in the window is gone at that rate, rounded up; what went back is not
    taken off the rate. Samples are the lines that sold it."""
    since = question.now - question.window_seconds * SECOND

    def query(connection: TenantConnection) -> list[Reading]:
        sold: dict[str, tuple[int, int]] = {}
        for product_id, _, _, quantity, lines, _ in store.sum_sold(connection, since, question.now, MOST_IN_BASELINE):
            before = sold.get(product_id, (0, 0))
            sold[product_id] = before[0] + quantity, before[1] + lines
        available = stock.read_available(connection, list(sold)) if sold else {}
        # A shop that sells more than is looked at is measured over the time in which it sold that much.
        oldest = store.find_oldest(connection, since, question.now, MOST_IN_BASELINE)
        span = question.now - (since if oldest is None else oldest)
        found = [
            Reading(
                product_id,
                days_left(available[product_id], quantity, span),
                lines,
                product_id,
                figures={
                    "available_milli": available[product_id],
                    "sold_milli": quantity,
                    "window_days": -(-span // DAY),
                },
            )
            for product_id, (quantity, lines) in sold.items()
            if product_id in available
        ]
        return _named(connection, _worst_first(found, question))

    return await ctx.read(query)


def days_left(available: int, sold: int, span: int) -> int:
    """Days until `available` is gone when `sold` went in so many microseconds, rounded up; nothing left are no days."""
    return max(0, -(-available * span // (sold * DAY)))


def margin_bp(net: int, cost: int) -> int:
    """(net - cost) / net in basis points, rounded down; -100 % and worse, or nothing taken at all, count as -100 %."""
    if net <= 0:
        return 0 if cost == 0 else -BASIS_POINT_SCALE
    return max(-BASIS_POINT_SCALE, (net - cost) * BASIS_POINT_SCALE // net)


def share_bp(part: int, whole: int) -> int:
    """part / whole in basis points; a part of nothing is all of it."""
    if whole <= 0:
        return BASIS_POINT_SCALE if part > 0 else 0
    return round_half_up(part * BASIS_POINT_SCALE, whole)


@dataclass(slots=True)
class _Given:
    """What a location gave away, of what its lines would have been at their list prices."""

    given: int = 0
    listed: int = 0
    lines: int = 0

    def add(self, list_price: int, unit_price: int, quantity: int, lines: int) -> None:
        self.listed += line_amount(list_price, quantity)
        self.given += line_amount(max(0, list_price - unit_price), quantity)
        self.lines += lines


def _margin_of(
    sold: Sequence[tuple[str, str, int, int, int, int]], known: Mapping[str, ProductFigures]
) -> tuple[int, int] | None:
    """(margin in basis points, lines) of the sales whose cost is known."""
    net = cost = lines = 0
    for product_id, currency, money, quantity, count, _ in sold:
        product = known.get(product_id)
        if product is None or product.cost_minor is None or product.currency != currency:
            continue
        net += money
        cost += round_half_up(product.cost_minor * quantity, UNIT)
        lines += count
    return (margin_bp(net, cost), lines) if lines else None


def _by_place(rows: Sequence[tuple[str, str, int, int, int]]) -> dict[str, tuple[str, int, int, int]]:
    """location → (currency, taken, given back, tickets), of the currency with most tickets there."""
    found: dict[str, tuple[str, int, int, int]] = {}
    for location_id, currency, taken, given_back, tickets in rows:
        before = found.get(location_id)
        if before is None or tickets > before[3]:
            found[location_id] = (currency, taken, given_back, tickets)
    return found


def _worst_first(readings: Sequence[Reading], question: Question) -> list[Reading]:
    """What was asked for by name, and the lowest of the others that are not beyond the bound."""
    asked = [each for each in readings if each.subject in question.subjects]
    others = [each for each in readings if each.subject not in question.subjects and each.value <= question.bound]
    return [*sorted(others, key=lambda each: each.value)[:MOST_NEW], *asked]


def _named(connection: TenantConnection, readings: Sequence[Reading]) -> list[Reading]:
    known = catalog.read_figures(connection, [each.subject for each in readings]) if readings else {}
    return [
        Reading(
            each.subject,
            each.value,
            each.samples,
            each.product_id,
            figures={**each.figures, "product": known[each.subject].name},
        )
        for each in readings
        if each.subject in known
    ]
