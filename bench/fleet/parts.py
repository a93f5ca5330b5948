"""What a part of the bench is that stands by itself: a round of it gives figures by name."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import spread

Figures = Mapping[str, float]


def _nothing_broken(_figures: Figures) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Part:
    """A part. `measure` is one round, told whether it is to be quick; it raises UnavailableError where something is missing.

    A figure of several rounds is their median, one of `worst` the largest of them. `broken` says which promises the figures break.
    """

    name: str
    measure: Callable[[bool], Coroutine[Any, Any, Figures]]
    goals: Mapping[str, str]
    legend: str
    worst: frozenset[str] = frozenset()
    broken: Callable[[Figures], Sequence[str]] = _nothing_broken

    def combine(self, rounds: Sequence[Figures]) -> dict[str, float]:
        """The figures of all rounds; each round gives the same ones."""
        values = {key: [one[key] for one in rounds] for key in (rounds[0] if rounds else ())}
        return {key: max(found) if key in self.worst else spread(found).median for key, found in values.items()}
