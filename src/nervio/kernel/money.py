"""Money as whole minor units of a currency (ISO 4217), and the two roundings a till needs. Never a float."""

from __future__ import annotations

from nervio.kernel.errors import invalid
from nervio.kernel.quantity import UNIT

LARGEST = 10**15
"""Ten trillion of a two-decimal currency: sums of many such amounts still fit 64 bits."""

# Only currencies whose minor unit is not a hundredth are listed (ISO 4217, table A.1).
_MINOR_DIGITS = {"CLP": 0, "PYG": 0, "JPY": 0, "KRW": 0, "VND": 0, "BHD": 3, "KWD": 3, "TND": 3, "UYW": 4}

MICROS = 1_000_000
"""What costs less than a minor unit is counted in millionths of the currency's unit: a question to a model may cost 0.00012 USD."""

BASIS_POINT_SCALE = 10_000
"""Tax rates are basis points: 21 % is 2100."""


def minor_digits(currency: str) -> int:
    """How many decimals the currency's amounts are written with."""
    return _MINOR_DIGITS.get(currency, 2)


def check_currency(code: str, field: str) -> str:
    """The code itself if it looks like ISO 4217."""
    if len(code) != 3 or not code.isascii() or not code.isalpha() or not code.isupper():
        raise invalid(
            "invalid_currency", f"{field} must be a currency code of three capitals, such as ARS.", field=field
        )
    return code


def format_amount(amount: int, currency: str) -> str:
    """A plain decimal number, a point, no grouping: for machines and CSV. Screens format by locale."""
    digits = minor_digits(currency)
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 10**digits)
    return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"


def micros_a_minor(currency: str) -> int:
    """How many millionths of the currency's unit its minor unit has: 10,000 where that is a hundredth."""
    minor: int = 10 ** minor_digits(currency)
    return MICROS // minor


def format_micros(micros: int, currency: str) -> str:
    """An amount in millionths as an exact decimal number, a point, no grouping: at least the currency's own decimals, and as
    many more as it has."""
    whole, part = divmod(abs(micros), MICROS)
    least = minor_digits(currency)
    digits = f"{part:06d}"
    digits = digits[:least] + digits[least:].rstrip("0")
    return f"{'-' if micros < 0 else ''}{whole}" + (f".{digits}" if digits else "")


def round_half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, halves away from zero, as tills and tax offices round."""
    if numerator < 0:
        return -round_half_up(-numerator, denominator)
    return (2 * numerator + denominator) // (2 * denominator)


def line_amount(unit_price: int, quantity_milli: int) -> int:
    """Price of a line in minor units: unit price × units, rounded once."""
    amount, rest = divmod(unit_price * quantity_milli, UNIT)
    return amount if rest == 0 else round_half_up(unit_price * quantity_milli, UNIT)


def tax_of(amount: int, rate_bp: int, included: bool) -> int:
    """The tax in `amount` (when included) or due on top of it (when not), rounded once."""
    if included:
        return round_half_up(amount * rate_bp, BASIS_POINT_SCALE + rate_bp)
    return round_half_up(amount * rate_bp, BASIS_POINT_SCALE)
