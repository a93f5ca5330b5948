"""Quantities as whole milli-units: 1 piece is 1000, 250 g sold by the kilo are 250."""

from __future__ import annotations

UNIT = 1000
LARGEST = 10**15
"""A trillion units. Far above any shop, far below where a sum of 64-bit integers could overflow."""


def format_quantity(milli: int) -> str:
    """The shortest decimal number of units: 2000 → "2", 250 → "0.25"."""
    sign = "-" if milli < 0 else ""
    whole, part = divmod(abs(milli), UNIT)
    return f"{sign}{whole}" if part == 0 else f"{sign}{whole}.{part:03d}".rstrip("0")
