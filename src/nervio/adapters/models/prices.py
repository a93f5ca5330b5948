"""What models cost: a small table that users replace line by line, and the arithmetic.

Providers change their prices; ours is a starting point that says when it was read. A model that is in no table has no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from nervio.ports.models import MICROS, Price, Usage

PriceTable = Mapping[str, Price | None]
"""Price by `model`, `provider/model`, or a pattern of the latter with `*`. None says that there is none to be known."""

FREE = Price(0, 0, "")

# Read from the providers' pages in November 2026. Where a price depends on the hour (DeepSeek) or rises soon (Gemini 3.8, in
# January 2027) the higher stands here: a cap that stops early does less harm than one that stops late.
DEFAULT_PRICES: PriceTable = {
    "gpt-5-mini": Price(250_000, 2_000_000, "USD"),
    "gpt-4.1-mini": Price(400_000, 1_600_000, "USD"),
    "gpt-4o-mini": Price(150_000, 600_000, "USD", 75_000),
    "text-embedding-3-small": Price(20_000, 0, "USD"),
    "text-embedding-3-large": Price(130_000, 0, "USD"),
    "gemini-3.8-flash": Price(1_500_000, 7_500_000, "USD"),
    "gemini-embedding-001": Price(150_000, 0, "USD"),
    "deepseek-flash": Price(300_000, 1_200_000, "USD", 6_000),
    "deepseek-v4-pro": Price(1_320_000, 3_960_000, "USD", 44_000),
    # Models of this name run elsewhere and are charged to an account there.
    "ollama/*cloud": None,
    "ollama/*": FREE,
    "offline/*": FREE,
}


class PriceBook:
    """Prices as they are looked up: what users wrote before our own, a full name before a pattern."""

    def __init__(self, written: PriceTable | None = None) -> None:
        self._tables: tuple[PriceTable, ...] = (written or {}, DEFAULT_PRICES)

    def find(self, model: str, *names: str) -> Price | None:
        """The price of a model at a provider of one of these names (its own, its preset's); None where none is known."""
        full = [f"{name}/{model}" for name in names]
        for table in self._tables:
            for name in (*full, model):
                if name in table:
                    return table[name]
            for pattern, price in table.items():
                if "*" in pattern and any(fnmatchcase(name, pattern) for name in full):
                    return price
        return None


def priced(
    price: Price | None, input_tokens: int, output_tokens: int, cached_tokens: int = 0, *, is_estimated: bool = False
) -> Usage:
    """What was used, with its cost: rounded up once, so that nothing that has a price costs nothing."""
    cached_tokens = min(cached_tokens, input_tokens)
    if price is None:
        return Usage(input_tokens, output_tokens, None, "", cached_tokens, is_estimated)
    cached_price = price.input_micros if price.cached_input_micros is None else price.cached_input_micros
    total = (
        (input_tokens - cached_tokens) * price.input_micros
        + cached_tokens * cached_price
        + output_tokens * price.output_micros
    )
    return Usage(input_tokens, output_tokens, -(-total // MICROS), price.currency, cached_tokens, is_estimated)
