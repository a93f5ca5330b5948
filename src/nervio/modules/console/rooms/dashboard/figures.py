"""The figures of a day, as the page draws them and the stream sends them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup

from nervio.db.context import Ctx
from nervio.kernel.time import Instant, from_datetime, to_datetime
from nervio.modules.console.charts import Point, Wording, bar_chart
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import Texts
from nervio.modules.sales import api as sales

HOUR = 3600 * 1_000_000
WEEK = timedelta(days=7)
OPEN_FROM, OPEN_TO = 8, 20
"""The hours a chart always shows; sales outside them widen it."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the shop by its own clock. `is_today` is False when the shop has not sold today, and an earlier one is shown."""

    start: datetime
    is_today: bool

    @property
    def span(self) -> tuple[Instant, Instant]:
        """From its first moment to the next day's; not always 24 hours."""
        return from_datetime(self.start), from_datetime(_midnight(self.start + timedelta(days=1)))

    def week_before(self) -> Day:
        """The same weekday one week earlier."""
        return Day(_midnight(self.start - WEEK), is_today=False)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """Sales of a day in the shop's currency, returns taken off."""

    sales_minor: int
    tickets: int

    @property
    def average_minor(self) -> int:
        """What a ticket came to."""
        return round(self.sales_minor / self.tickets) if self.tickets else 0


def _midnight(moment: datetime) -> datetime:
    # Wall clock and zone apart: adding a day to an aware time would keep its old offset to UTC.
    return datetime.combine(moment.date(), time(), tzinfo=moment.tzinfo)


async def find_day(ctx: Ctx, formats: Formats) -> Day:
    """Today, or the last day with sales where there are none today."""
    now = to_datetime(ctx.clock.now()).astimezone(ZoneInfo(formats.zone))
    today = Day(_midnight(now), is_today=True)
    newest = await sales.list_tickets(ctx, until=today.span[1], limit=1)
    if not newest or newest[0].effective_at >= today.span[0]:
        return today
    last = to_datetime(newest[0].effective_at).astimezone(ZoneInfo(formats.zone))
    return Day(_midnight(last), is_today=False)


async def read_figures(ctx: Ctx, day: Day, currency: str) -> DayFigures:
    """The figures of a day."""
    for summary in await sales.summarize(ctx, *day.span):
        if summary.currency == currency:
            return DayFigures(summary.total, summary.tickets)
    return DayFigures(0, 0)


def change_percent(now: DayFigures, before: DayFigures) -> int | None:
    """Against the week before; None where there is nothing to compare with."""
    if before.sales_minor <= 0:
        return None
    return round((now.sales_minor - before.sales_minor) * 100 / before.sales_minor)


async def draw_chart(ctx: Ctx, day: Day, formats: Formats, t: Texts) -> Markup:
    """Sales by hour, with the week before behind them."""
    now = await _by_hour(ctx, day, formats.currency)
    before = await _by_hour(ctx, day.week_before(), formats.currency)
    slots = range(min([*now, *before, OPEN_FROM]), max([*now, *before, OPEN_TO]) + 1)
    # Counted in hours from midnight, which on two days of the year is not what the clock shows.
    labels = [f"{(day.start + timedelta(hours=slot)).hour}" for slot in slots]
    points = [
        Point(label, max(0, now.get(slot, 0)), max(0, before[slot]) if slot in before else None)
        for slot, label in zip(slots, labels, strict=True)
    ]
    peak = max(points, key=lambda point: point.value)
    described = t(
        "dashboard.chart_description",
        first=labels[0],
        last=labels[-1],
        most=formats.money(peak.value),
        at=peak.label,
    )
    wording = Wording(
        t("dashboard.by_hour"),
        described,
        t("dashboard.hour"),
        t("dashboard.sales"),
        t("dashboard.chart_before"),
        t("dashboard.show_table"),
    )
    return bar_chart(points, wording, formats.money, lambda minor: _short(minor, formats))


async def _by_hour(ctx: Ctx, day: Day, currency: str) -> dict[int, int]:
    since, until = day.span
    return {
        (point.start - since) // HOUR: point.total
        for point in await sales.list_points(ctx, since, until, HOUR, currency)
    }


def _short(minor: int, formats: Formats) -> str:
    """An amount for the axis, where there is room for few digits."""
    whole = minor // 10**formats.exponent
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if whole >= 10 * size:
            return f"{formats.number(whole // size)} {letter}"
    return formats.number(whole)
