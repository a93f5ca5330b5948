"""The bill of a month by use: exact to the millionth, rounded once at the end."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence

from nervio.kernel.errors import invalid
from nervio.kernel.money import BASIS_POINT_SCALE, micros_a_minor, round_half_up
from nervio.kernel.time import Instant, to_datetime
from nervio.modules.fleet.contracts import Bill, BillLine, BillTotal, Spend, Usage

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


def days_of(month: str) -> tuple[str, str]:
    """The first and the last day of a month `YYYY-MM`. Raises `invalid` naming `month`."""
    found = _MONTH.fullmatch(month)
    if found is None or found[1] == "0000":
        raise invalid("invalid_month", "month must be a month such as 2026-03.", field="month")
    last = calendar.monthrange(int(found[1]), int(found[2]))[1]
    return f"{month}-01", f"{month}-{last:02d}"


def minor_to_post(micros: int, posted: int, currency: str) -> int:
    """How many more minor units a meter fills than the ledger has of it."""
    return micros // micros_a_minor(currency) - posted


def make_bill(
    tenant_name: str, month: str, now: Instant, used: Sequence[Usage], costs: Sequence[Spend], markup_bp: int
) -> Bill:
    """A line a kind and currency, one more for what of the kind had no cost, and a total a currency."""
    lines: list[BillLine] = []
    for kind in sorted({one.kind for one in used} | {one.kind for one in costs}):
        priced = [one for one in costs if one.kind == kind and one.cost_micros > 0]
        lines += [_line(one, markup_bp) for one in priced]
        rest = _rest(kind, [one for one in used if one.kind == kind], priced)
        if rest.tasks > 0 or rest.input_tokens > 0 or rest.output_tokens > 0:
            lines.append(rest)
    return Bill(
        tenant_name=tenant_name,
        month=month,
        is_final=to_datetime(now).strftime("%Y-%m") > month,
        made_at=now,
        markup_bp=markup_bp,
        lines=tuple(lines),
        totals=tuple(_total(currency, lines) for currency in sorted({one.currency for one in lines if one.currency})),
    )


def _line(one: Spend, markup_bp: int) -> BillLine:
    charged = round_half_up(one.cost_micros * (BASIS_POINT_SCALE + markup_bp), BASIS_POINT_SCALE)
    return BillLine(one.kind, one.currency, one.tasks, one.input_tokens, one.output_tokens, one.cost_micros, charged)


def _rest(kind: str, used: Sequence[Usage], priced: Sequence[Spend]) -> BillLine:
    return BillLine(
        kind,
        "",
        max(0, sum(one.done for one in used) - sum(one.tasks for one in priced)),
        max(0, sum(one.input_tokens for one in used) - sum(one.input_tokens for one in priced)),
        max(0, sum(one.output_tokens for one in used) - sum(one.output_tokens for one in priced)),
        0,
        0,
    )


def _total(currency: str, lines: Sequence[BillLine]) -> BillTotal:
    cost = sum(one.cost_micros for one in lines if one.currency == currency)
    charged = sum(one.charged_micros for one in lines if one.currency == currency)
    return BillTotal(currency, cost, charged, round_half_up(charged, micros_a_minor(currency)))
