"""Limits and spend: what is left, what was spent, the limits to be changed, and the bill of a month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect, text_of
from nervio.modules.console.rooms.limits.fields import COUNTS, MOST_ROWS, draw, read
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import Bill, Limits, LimitsState, Measure, Quota, Spend

LIMITS = "/console/limits"
NEAR_PERCENT = 80
"""From here on a limit is said to have little left."""
MONTHS = 12
"""That a bill is offered of."""

router = page_router()


@router.get(LIMITS)
async def show_limits(request: Request) -> Response:
    """The page; `saved` in the address says that the limits were just changed."""
    frame = await open_frame(request, api.READ)
    state = await api.get_limits(frame.ctx)
    return await _page(frame, state, draw(frame.formats, state.limits), {}, 200)


@router.post(LIMITS)
async def change_limits(request: Request) -> Response:
    """Puts the limits of the form in the place of those there were. Its key makes a second press harmless."""
    frame = await open_frame(request, api.LIMIT)
    form = await frame.form()
    names = [*COUNTS, *(f"money_{n}_{part}" for n in range(MOST_ROWS) for part in ("currency", "per_day", "per_month"))]
    typed = {name: text_of(form, name, 60) for name in names}
    wanted, errors = read(frame.formats, typed, frame.t)
    if not errors:
        try:
            await api.change_limits(frame.ctx, wanted or Limits(), text_of(form, "key", 64) or None)
        except NervioError as error:
            if error.kind not in (Kind.INVALID, Kind.CONFLICT):
                raise
            errors = {"": frame.explain(error)}
        else:
            return redirect(f"{LIMITS}?saved=1")
    return await _page(frame, await api.get_limits(frame.ctx), typed, errors, 422)


async def _page(
    frame: Frame, state: LimitsState, typed: Mapping[str, str], errors: Mapping[str, str], status: int
) -> Response:
    now = to_datetime(frame.ctx.clock.now())
    today, people = now.date().isoformat(), await frame.people()
    bill = await api.get_bill(frame.ctx, today[:7])
    spent_today = await api.read_spend(frame.ctx, today, today)
    used = await api.read_usage(frame.ctx, f"{today[:7]}-01", today)
    spent = await api.read_spend(frame.ctx, f"{today[:7]}-01", today)
    limits = state.limits
    context: dict[str, Any] = {
        "quotas": [_quota(frame, one) for one in state.quotas],
        "running": state.running,
        "most_running": limits.most_running,
        "lines": _lines(frame, bill, {(one.kind, one.currency): one.cost_micros for one in spent_today}),
        "totals": [
            {
                "currency": one.currency,
                "today": frame.formats.micros(
                    sum(each.cost_micros for each in spent_today if each.currency == one.currency), one.currency
                ),
                "month": frame.formats.micros(one.cost_micros, one.currency),
            }
            for one in bill.totals
        ],
        "reused": sum(one.cached for one in used),
        "saved_tokens": sum(one.saved_input_tokens + one.saved_output_tokens for one in used),
        "saved_money": _saved_money(frame, spent),
        # At noon, so that it is the same day in the zone of the shop.
        "since": now.replace(day=1, hour=12),
        "counts": [{"name": name, "value": typed.get(name, ""), "error": errors.get(name, "")} for name in COUNTS],
        "money": _money_rows(typed, errors),
        "general": errors.get("", ""),
        "key": new_id(),
        "saved": bool(frame.query("saved")) and not errors,
        "changed_by": "" if state.changed_by is None else name_of(people, state.changed_by),
        "changed_at": None if state.changed_at is None else to_datetime(state.changed_at),
        "months": _months(frame, now),
    }
    return frame.page("limits", context, status)


def _quota(frame: Frame, one: Quota) -> dict[str, Any]:
    is_money = one.measure is Measure.MONEY

    def figure(value: int) -> str:
        return frame.formats.micros(value, one.currency) if is_money else frame.formats.number(value)

    percent = 100 if one.is_reached else 100 * one.used // one.limit
    return {
        "name": f"{one.measure.value}_per_{one.period.value}",
        "currency": one.currency,
        "used": figure(one.used),
        "limit": figure(one.limit),
        "percent": percent,
        "state": "reached" if one.is_reached else "near" if percent >= NEAR_PERCENT else "",
        "free_at": to_datetime(one.free_at),
    }


def _saved_money(frame: Frame, spent: Sequence[Spend]) -> str:
    sums: dict[str, int] = {}
    for one in spent:
        sums[one.currency] = sums.get(one.currency, 0) + one.saved_micros
    return ", ".join(frame.formats.micros(sums[currency], currency) for currency in sorted(sums) if sums[currency])


def _lines(frame: Frame, bill: Bill, today: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [
        {
            "kind": one.kind,
            "currency": one.currency,
            "tasks": one.tasks,
            "tokens": one.input_tokens + one.output_tokens,
            "today": frame.formats.micros(today.get((one.kind, one.currency), 0), one.currency) if one.currency else "",
            "month": frame.formats.micros(one.cost_micros, one.currency) if one.currency else "",
        }
        for one in bill.lines
    ]


def _money_rows(typed: Mapping[str, str], errors: Mapping[str, str]) -> Sequence[dict[str, Any]]:
    """The rows that say something, and one more."""
    rows = []
    for n in range(MOST_ROWS):
        row = {part: typed.get(f"money_{n}_{part}", "") for part in ("currency", "per_day", "per_month")}
        wrong = {f"{part}_error": errors.get(f"money_{n}_{part}", "") for part in row}
        rows.append({"n": n, **row, **wrong})
        if not any(row.values()):
            break
    return rows


def _months(frame: Frame, now: datetime) -> list[tuple[str, str]]:
    """This month and those before it, as the choices of a select."""
    found = []
    month = now.replace(day=15, hour=12)
    for _ in range(MONTHS):
        found.append((f"{month:%Y-%m}", frame.formats.month(month)))
        month = (month.replace(day=1) - timedelta(days=1)).replace(day=15)
    return found
