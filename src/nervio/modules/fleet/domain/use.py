"""What a worker says that an attempt used, as far as it makes sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec

LARGEST_COUNT = 1_000_000_000_000
"""Tokens of one attempt."""
LARGEST_COST = 100_000_000_000
"""Millionths of one attempt: a hundred thousand of any currency. More is a mistake, and would use up a limit for good."""
LARGEST_DAY = 10**15
"""Millionths of a kind, day and currency: a month of them in many kinds still fits 64 bits."""
_CODE_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Use:
    """Tokens, and a cost in millionths of a currency's unit; the currency is empty where there is no cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    currency: str = ""


NOTHING = Use()


def use_of(usage: str | None) -> Use:
    """Counts that are none are 0, and so is a cost without a currency's code; the result they came with is kept all the same."""
    if usage is None:
        return NOTHING
    try:
        told: Any = msgspec.json.decode(usage)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return NOTHING
    if not isinstance(told, dict):
        return NOTHING
    read, written = (min(_count(told.get(name)), LARGEST_COUNT) for name in ("input_tokens", "output_tokens"))
    cost, currency = _count(told.get("cost_micros")), told.get("currency")
    if not 0 < cost <= LARGEST_COST or not _is_currency(currency):
        return Use(read, written)
    return Use(read, written, cost, currency)


def _count(value: Any) -> int:
    # True is an int, and no count.
    return value if type(value) is int and value > 0 else 0


def _is_currency(code: Any) -> TypeGuard[str]:
    return isinstance(code, str) and len(code) == _CODE_LENGTH and code.isascii() and code.isalpha() and code.isupper()
