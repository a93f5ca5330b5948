"""The arithmetic of a bench: percentiles, medians of runs and their spread. Standard library only."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], rank: float) -> float:
    """Return the nearest-rank percentile (a value that was really measured, never one between two).

    `rank` is in (0, 100]; raises ValueError on no values, since a percentile of nothing would read as a fast one.
    """
    if not values:
        raise ValueError("a percentile of no values does not exist")
    if not 0 < rank <= 100:
        raise ValueError(f"rank must be over 0 and at most 100, not {rank}")
    ordered = sorted(values)
    return ordered[math.ceil(rank / 100 * len(ordered)) - 1]


@dataclass(frozen=True)
class Spread:
    """What several runs of one measurement gave."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Return median, lowest and highest of the runs; raises ValueError when there was none."""
    if not values:
        raise ValueError("no run was measured")
    return Spread(median=statistics.median(values), low=min(values), high=max(values), runs=len(values))


def zipf_weights(count: int, exponent: float) -> list[float]:
    """Return the share of each rank under Zipf's law (weight 1/rank^exponent), summing to 1."""
    raw = [1 / rank**exponent for rank in range(1, count + 1)]
    total = sum(raw)
    return [weight / total for weight in raw]
