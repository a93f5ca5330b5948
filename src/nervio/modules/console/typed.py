"""Figures as people type them in forms, read by the same rule as in the browser's `money.js`."""

from __future__ import annotations

import re

from nervio.kernel.money import LARGEST
from nervio.modules.console.formatting import Formats

QUANTITY_DIGITS = 3
LONGEST_WHOLE = 40


def read_figure(text: str, digits: int, decimal_mark: str) -> int | None:
    """The figure as an integer with `digits` decimals, or None when it is none or has more decimals than that.

    The last mark is the decimal one when other than three digits follow it or it is the shop's own; all others group.
    """
    clean = re.sub(r"[^\d.,-]", "", text)
    at = max(clean.rfind(","), clean.rfind("."))
    after = clean[at + 1 :] if at >= 0 else ""
    is_decimal = at >= 0 and (clean[at] == decimal_mark or len(after) != 3)
    whole = re.sub(r"[.,]", "", clean[:at] if is_decimal else clean)
    fraction = after.rstrip("0") if is_decimal else ""
    if not re.fullmatch(r"-?\d*", whole, re.ASCII) or not re.fullmatch(r"\d*", fraction, re.ASCII):
        return None
    # Python refuses to read thousands of digits; no figure that is kept has twenty.
    if len(fraction) > digits or len(whole) > LONGEST_WHOLE or (whole in {"", "-"} and not after):
        return None
    value = int((whole.removeprefix("-") or "0") + fraction.ljust(digits, "0"))
    if value > LARGEST:
        return None
    return -value if whole.startswith("-") else value


def read_money(text: str, formats: Formats) -> int | None:
    """Minor units of the shop's currency, or None."""
    return read_figure(text, formats.exponent, _mark(formats))


def read_quantity(text: str, formats: Formats) -> int | None:
    """Milli-units, or None."""
    return read_figure(text, QUANTITY_DIGITS, _mark(formats))


def type_money(minor: int, formats: Formats) -> str:
    """An amount as it is typed: no symbol, no grouping."""
    whole, rest = divmod(abs(minor), 10**formats.exponent)
    fraction = f"{_mark(formats)}{rest:0{formats.exponent}d}" if formats.exponent else ""
    return f"{'-' if minor < 0 else ''}{whole}{fraction}"


def type_quantity(milli: int, formats: Formats) -> str:
    """A quantity as it is typed: no grouping, no trailing zeros."""
    whole, rest = divmod(abs(milli), 10**QUANTITY_DIGITS)
    fraction = f"{_mark(formats)}{rest:03d}".rstrip("0") if rest else ""
    return f"{'-' if milli < 0 else ''}{whole}{fraction}"


def _mark(formats: Formats) -> str:
    return formats.number(0, "0")[1]
