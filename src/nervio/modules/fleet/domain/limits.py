"""What a tenant may use: what is reached, what that forbids, and when it is free again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.kernel.money import check_currency, format_micros
from nervio.kernel.time import SECOND, Instant, from_datetime, to_datetime, to_iso
from nervio.modules.fleet.contracts import Limits, Measure, MoneyLimit, Period, Quota

LARGEST_LIMIT = 10**15
MOST_RUNNING = 1_000_000
MOST_CURRENCIES = 20
"""Of one tenant's limits."""

SpendKey = tuple[Period, str]
"""(period, currency)"""

_COUNTS = ("tasks_per_day", "tasks_per_month", "tokens_per_day", "tokens_per_month")


@dataclass(slots=True)
class Used:
    """What a tenant has used today and this month; money in millionths by period and currency."""

    tasks: dict[Period, int] = field(default_factory=lambda: dict.fromkeys(Period, 0))
    tokens: dict[Period, int] = field(default_factory=lambda: dict.fromkeys(Period, 0))
    money: dict[SpendKey, int] = field(default_factory=dict)


def first_of_month(day: str) -> str:
    """The first day of the month that a day `YYYY-MM-DD` lies in."""
    return f"{day[:7]}-01"


def free_at(period: Period, now: Instant) -> Instant:
    """When the count of a period begins anew: at the next midnight in UTC, or that of the first of next month."""
    today = to_datetime(now).date()
    until = (
        today + timedelta(days=1)
        if period is Period.DAY
        else (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    )
    return from_datetime(datetime(until.year, until.month, until.day, tzinfo=UTC))


def list_quotas(limits: Limits, used: Used, now: Instant) -> list[Quota]:
    """Each limit with what is used of it."""
    return list(_quotas(limits, used, now))


def _quotas(limits: Limits, used: Used, now: Instant) -> Iterator[Quota]:
    for measure, sums in ((Measure.TASKS, used.tasks), (Measure.TOKENS, used.tokens)):
        for period in Period:
            limit = getattr(limits, f"{measure.value}_per_{period.value}")
            if limit is not None:
                yield Quota(measure, period, "", sums[period], limit, free_at(period, now))
    for money in limits.money:
        for period in Period:
            limit = getattr(money, f"per_{period.value}_micros")
            if limit is not None:
                spent = used.money.get((period, money.currency), 0)
                yield Quota(Measure.MONEY, period, money.currency, spent, limit, free_at(period, now))


def find_reached(quotas: Sequence[Quota], *, also_tasks: bool) -> Quota | None:
    """The limit that is reached and the longest in the way. `also_tasks`: for a task that comes, not for one that waits, which
    was counted when it came."""
    reached = [one for one in quotas if one.is_reached and (also_tasks or one.measure is not Measure.TASKS)]
    return max(reached, key=lambda one: one.free_at, default=None)


def refusal_of(quota: Quota, now: Instant) -> NervioError:
    """Why a task is not taken: which limit, what is used of it, and when it is free again."""
    is_day = quota.period is Period.DAY
    by_tasks = "tasks_per_day_reached" if is_day else "tasks_per_month_reached"
    by_tokens = "tokens_per_day_reached" if is_day else "tokens_per_month_reached"
    by_money = "money_per_day_reached" if is_day else "money_per_month_reached"
    used, limit, unit = str(quota.used), str(quota.limit), quota.measure.value
    if quota.measure is Measure.MONEY:
        used, limit = format_micros(quota.used, quota.currency), format_micros(quota.limit, quota.currency)
        unit = quota.currency
    return NervioError(
        Kind.TOO_MANY,
        by_money if quota.measure is Measure.MONEY else by_tokens if quota.measure is Measure.TOKENS else by_tasks,
        f"The limit of {limit} {unit} a {quota.period.value} is reached: {used} are used. It is free again at "
        f"{to_iso(quota.free_at)}; an administrator may raise it before (PUT /api/fleet/limits).",
        measure=quota.measure.value,
        period=quota.period.value,
        currency=quota.currency,
        used=quota.used,
        limit=quota.limit,
        free_at=to_iso(quota.free_at),
        retry_after_seconds=max(1, -((now - quota.free_at) // SECOND)),
    )


def check_limits(limits: Limits) -> Limits:
    """The limits with their currencies in order. Raises `invalid` naming the field."""
    for name in _COUNTS:
        _check(getattr(limits, name), name, LARGEST_LIMIT)
    _check(limits.most_running, "most_running", MOST_RUNNING)
    if len(limits.money) > MOST_CURRENCIES:
        raise invalid("out_of_range", f"money must have at most {MOST_CURRENCIES} entries.", field="money")
    seen: set[str] = set()
    for n, one in enumerate(limits.money):
        check_currency(one.currency, f"money[{n}].currency")
        if one.currency in seen:
            raise invalid(
                "currency_twice",
                f"money names {one.currency} twice; put both limits into one entry.",
                field=f"money[{n}].currency",
            )
        seen.add(one.currency)
        _check(one.per_day_micros, f"money[{n}].per_day_micros", LARGEST_LIMIT)
        _check(one.per_month_micros, f"money[{n}].per_month_micros", LARGEST_LIMIT)
    money = [one for one in limits.money if (one.per_day_micros, one.per_month_micros) != (None, None)]
    ordered = tuple(sorted(money, key=lambda one: one.currency))
    return replace(limits, money=ordered)


def _check(limit: int | None, name: str, most: int) -> None:
    if limit is not None and not 0 <= limit <= most:
        raise invalid("out_of_range", f"{name} must be between 0 and {most}, or null for no limit.", field=name)


def write_limits(limits: Limits) -> str:
    """Limits as they are kept; `{}` for none."""
    told = {name: value for name, value in msgspec.to_builtins(limits).items() if value not in (None, ())}
    return msgspec.json.encode({name: value for name, value in told.items() if value != []}).decode()


def read_limits(text: str) -> Limits:
    """What `write_limits` wrote."""
    told: Mapping[str, Any] = msgspec.json.decode(text)
    money = tuple(MoneyLimit(**one) for one in told.get("money", ()))
    return Limits(**{**told, "money": money})
