"""The limits as fields of a form: money is typed in units of its currency, and what is empty is not limited."""

from __future__ import annotations

from collections.abc import Mapping

from nervio.kernel.money import MICROS
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import Texts
from nervio.modules.console.typed import read_figure
from nervio.modules.fleet.contracts import Limits, MoneyLimit

COUNTS = ("tasks_per_day", "tasks_per_month", "tokens_per_day", "tokens_per_month", "most_running")
MOST_ROWS = 20
"""Of money, one a currency."""
MICRO_DIGITS = len(str(MICROS)) - 1


def draw(formats: Formats, limits: Limits) -> dict[str, str]:
    """What stands in the fields."""
    values = {name: _text(getattr(limits, name)) for name in COUNTS}
    for n, one in enumerate(limits.money):
        values[f"money_{n}_currency"] = one.currency
        values[f"money_{n}_per_day"] = _amount(formats, one.per_day_micros)
        values[f"money_{n}_per_month"] = _amount(formats, one.per_month_micros)
    return values


def read(formats: Formats, typed: Mapping[str, str], t: Texts) -> tuple[Limits | None, dict[str, str]]:
    """(limits, errors by field) of what was typed; no limits where there are errors."""
    errors: dict[str, str] = {}
    counts = {name: _count(formats, typed.get(name, "")) for name in COUNTS}
    errors.update({name: t("limits.not_a_number") for name, value in counts.items() if value is _WRONG})
    money: list[MoneyLimit] = []
    for n in range(MOST_ROWS):
        names = [f"money_{n}_{part}" for part in ("per_day", "per_month")]
        amounts = [_micros(formats, typed.get(name, "")) for name in names]
        errors.update(
            {name: t("limits.not_money") for name, value in zip(names, amounts, strict=True) if value is _WRONG}
        )
        currency = typed.get(f"money_{n}_currency", "").upper()
        if not currency and amounts == [None, None]:
            continue
        if not _is_code(currency):
            errors[f"money_{n}_currency"] = t("problem.invalid_currency")
        elif currency in {one.currency for one in money}:
            errors[f"money_{n}_currency"] = t("problem.currency_twice")
        money.append(MoneyLimit(currency, *amounts))
    return (None if errors else Limits(**counts, money=tuple(money))), errors


_WRONG = -1
"""What is no figure; a limit is never below zero."""


def _count(formats: Formats, text: str) -> int | None:
    return _figure(formats, text, 0)


def _micros(formats: Formats, text: str) -> int | None:
    return _figure(formats, text, MICRO_DIGITS)


def _figure(formats: Formats, text: str, digits: int) -> int | None:
    """The figure, None for an empty field, `_WRONG` for anything that is none."""
    if not text:
        return None
    value = read_figure(text, digits, formats.number(0, "0")[1])
    is_clean = not any(letter.isalpha() for letter in text)
    return value if value is not None and value >= 0 and is_clean else _WRONG


def _amount(formats: Formats, micros: int | None) -> str:
    if micros is None:
        return ""
    whole, part = divmod(micros, MICROS)
    fraction = f"{part:0{MICRO_DIGITS}d}"
    fraction = fraction[:2] + fraction[2:].rstrip("0")
    return f"{whole}{formats.number(0, '0')[1]}{fraction}"


def _text(count: int | None) -> str:
    return "" if count is None else str(count)


def _is_code(currency: str) -> bool:
    return len(currency) == len("USD") and currency.isascii() and currency.isalpha()
