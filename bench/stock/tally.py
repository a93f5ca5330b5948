"""Counting from outside: what callers were told, held against the units there were and the contender's own records."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.stock.contender import Audit


@dataclass(frozen=True)
class Answers:
    """What the callers were told: sales answered True per SKU, refusals, and calls that raised (outcome unknown)."""

    sold: Sequence[int]
    refused: int
    failed: int

    @property
    def attempts(self) -> int:
        """Calls that came back, in whatever way."""
        return sum(self.sold) + self.refused + self.failed


@dataclass(frozen=True)
class Verdict:
    """Where answers, records and units disagree; all zero is right.

    `oversold`: units sold beyond those there were, by the callers' answers or by the levels, whichever says more.
    `lost`: sales answered True without a movement. `doubled`: movements beyond the sales answered and the calls that
    failed (whose outcome nobody knows). `drift`: movements and levels apart, either way.
    """

    oversold: int
    lost: int
    doubled: int
    drift: int

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.oversold + other.oversold,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.drift + other.drift,
        )


CLEAN = Verdict(oversold=0, lost=0, doubled=0, drift=0)


def judge(units: Sequence[int], answers: Answers, audit: Audit) -> Verdict:
    """Compare the three accounts of one load.

    A contender without movements is held to its levels instead. Raises ValueError when the accounts are not about the
    same SKUs, since a shorter one would hide what was sold of the rest.
    """
    if not len(units) == len(answers.sold) == len(audit.sold):
        raise ValueError(f"{len(units)} SKUs, answers about {len(answers.sold)}, records about {len(audit.sold)}")
    oversold = sum(
        max(0, told - there, recorded - there)
        for there, told, recorded in zip(units, answers.sold, audit.sold, strict=True)
    )
    told = sum(answers.sold)
    by_levels = sum(audit.sold)
    recorded = by_levels if audit.movements is None else audit.movements
    # Movements say how many left even where the levels were overwritten; over all SKUs they too may exceed the units.
    oversold = max(oversold, recorded - sum(units))
    return Verdict(
        oversold=oversold,
        lost=max(0, told - recorded),
        doubled=max(0, recorded - told - answers.failed),
        drift=abs(recorded - by_levels),
    )
