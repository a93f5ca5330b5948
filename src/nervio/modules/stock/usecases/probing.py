"""Figures of stock that the rules of safety watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Location, ProductFigures
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import stock_account
from nervio.modules.safety import api as safety
from nervio.modules.stock import store
from nervio.modules.stock.usecases.upkeep import check_invariants
from nervio.ports.probes import Question, Reading

MOST_NEW = 500
"""How many subjects that nobody asked for by name an answer holds, the worst first; the rest come once these are known."""

PLENTY_PERCENT = 100_000
"""What a level above a critical level of zero counts as: no percentage of nothing says how far above it lies."""

PRODUCTS_A_LOOK = 200
FINDINGS_SECONDS = 20.0
GAP_SECONDS = 3 * FINDINGS_SECONDS
"""A walk that rested longer has missed what other processes found."""


async def read_critical(ctx: Ctx, question: Question) -> list[Reading]:
    """What is available at each level in percent of its critical level, rounded up, so that 100 is exactly "at or below"."""

    def query(connection: TenantConnection) -> list[Reading]:
        known = [(each[1], each[0]) for each in map(_level_of, question.subjects)]
        found = store.list_levels_up_to(connection, question.bound, known, MOST_NEW)
        fresh = [row for row in found if _subject_of(row[1], row[0]) not in question.subjects][:MOST_NEW]
        answered = fresh + [row for row in found if _subject_of(row[1], row[0]) in question.subjects]
        # Names are for the sentence of a trip, and what is tripped already has had its sentence.
        named = [row for row in answered if _subject_of(row[1], row[0]) not in question.tripped]
        products = catalog.read_figures(connection, [row[1] for row in named]) if named else {}
        places = catalog.read_locations(connection) if named else {}
        return [_critical_reading(row, products.get(row[1]), places.get(row[0])) for row in answered]

    return await ctx.read(query)


async def read_ads_without_stock(ctx: Ctx, _question: Question) -> list[Reading]:
    """What the running campaigns of each product that is sold out everywhere may spend a day: one reading for each currency, in
    its minor units, since nothing here says what one is worth in another. A campaign that advertises several products counts
    in full for each of them; what never had stock is not out of it."""
    spending = await safety.read_spend(ctx)
    if not spending:
        return []
    advertised = sorted({each.product_id for each in spending})

    def query(connection: TenantConnection) -> list[Reading]:
        available = store.read_available(connection, advertised)
        products = catalog.read_figures(connection, advertised)
        return [
            Reading(
                subject=f"{each.product_id}@{each.currency}",
                value=each.daily_budget,
                product_id=each.product_id,
                figures={"product": products[each.product_id].name, "currency": each.currency},
            )
            for each in spending
            if each.product_id in products and available.get(each.product_id, 1) <= 0
        ]

    return await ctx.read(query)


def percent_of(available: int, critical_level: int) -> int:
    """What is available in percent of a critical level, rounded up: 100 or less says that it is at or below it."""
    if critical_level == 0:
        return 0 if available <= 0 else PLENTY_PERCENT
    return min(-(-100 * available // critical_level), PLENTY_PERCENT)


def _critical_reading(
    row: tuple[str, str, int, int], product: ProductFigures | None, place: Location | None
) -> Reading:
    location_id, product_id, available, critical_level = row
    return Reading(
        subject=_subject_of(product_id, location_id),
        value=percent_of(available, critical_level),
        product_id=product_id,
        location_id=location_id,
        figures={
            "available_milli": available,
            "critical_milli": critical_level,
            "product": product_id if product is None else product.name,
            "location": location_id if place is None else place.name,
        },
    )


def _subject_of(product_id: str, location_id: str) -> str:
    return f"{product_id}@{location_id}"


def _level_of(subject: str) -> tuple[str, str]:
    product_id, _, location_id = subject.partition("@")
    return product_id, location_id


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far the walk over a tenant's products has come, which of them did not agree with the journal, and when it looked."""

    after: str
    suspects: frozenset[str]
    at: float


NOWHERE = _Walk("", frozenset(), float("-inf"))


class InvariantWalk:
    """Compares levels with the journal and with what is promised, some products a look, again and again.

    A whole check reads every posting there ever was; this one finds the same of level and promise, after at most as many
    looks as the products take. It lives in one process: after a restart, or when others looked for a while (`GAP_SECONDS`), a
    rule that stands tripped is answered by a whole check, since nobody here knows what it had tripped on.
    """

    def __init__(self) -> None:
        self._walks: dict[str, _Walk] = {}

    async def read(self, ctx: Ctx, question: Question) -> list[Reading]:
        """One reading: how many levels do not agree. A look that fails leaves the walk where it was."""
        now = ctx.clock.monotonic()
        before = self._walks.get(ctx.tenant_id, NOWHERE)
        if question.subjects and now - before.at > GAP_SECONDS:
            report = await ctx.read(check_invariants)
            found = {each.product_id for each in report.discrepancies}
            before = _Walk(before.after, before.suspects | found, now)
        walk, reading = await ctx.read(lambda connection: _look(connection, before, now))
        self._walks[ctx.tenant_id] = walk
        return [reading]


def _look(connection: TenantConnection, walk: _Walk, now: float) -> tuple[_Walk, Reading]:
    part = store.list_products_after(connection, walk.after, PRODUCTS_A_LOOK)
    looked_at = sorted({*part, *sorted(walk.suspects)[:PRODUCTS_A_LOOK]})
    wrong = find_wrong(connection, looked_at)
    suspects = (walk.suspects - set(looked_at)) | {product_id for _, product_id in wrong}
    names = catalog.read_figures(connection, suspects) if suspects else {}
    first = min((each.name for each in names.values()), default="—")
    after = part[-1] if len(part) == PRODUCTS_A_LOOK else ""
    reading = Reading("", len(suspects), max(1, len(looked_at)), figures={"first": first})
    return _Walk(after, suspects, now), reading


def find_wrong(connection: TenantConnection, product_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(location, product) of the levels of some products that do not agree with the journal or with the active holds, or hold
    less than they may."""
    if not product_ids:
        return []
    levels = store.read_levels_of(connection, product_ids)
    booked = ledger.sum_stock(connection, product_ids)
    wanted = set(product_ids)
    held = {key: units for key, units in store.read_hold_sums(connection).items() if key[1] in wanted}
    places: Iterable[str] = {key[0] for key in levels} | {key[0] for key in held}
    keys = {*levels, *held, *((place, p) for place in places for p in wanted if (stock_account(place), p) in booked)}
    wrong = []
    for key in sorted(keys):
        on_hand, reserved, may_go_negative = levels.get(key, (0, 0, False))
        agrees = on_hand == booked.get((stock_account(key[0]), key[1]), 0) and reserved == held.get(key, 0)
        if not agrees or (on_hand < reserved and not may_go_negative):
            wrong.append(key)
    return wrong
