"""How long a task will take on a worker, learnt from those that it has done."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

UNKNOWN_SECONDS = 0.1
"""The guess where nothing of the kind has ever been done: short enough that a worker is handed as many as it takes."""
SHORTEST_SECONDS = 0.0001
PRIOR_SAMPLES = 2.0
"""How many samples of its own outweigh what is known of all workers together."""
FORGET = 0.05
"""The weight of a new sample once there are many; before, all count alike."""

SpeedKey = tuple[str, str, str]
"""(kind, model, worker); an empty model or worker stands for all of them."""


@dataclass(slots=True)
class Speed:
    """Seconds as a line over size, fitted by least squares with exponential forgetting.

    `error` is the forgetting mean of |ln(took / predicted)|: 0.3 says that predictions are usually off by a factor of e^0.3.
    """

    samples: int = 0
    size: float = 0.0
    seconds: float = 0.0
    variance: float = 0.0
    covariance: float = 0.0
    error: float = 0.0

    def learn(self, size: float, seconds: float) -> None:
        """Takes in one task that was done."""
        if self.samples:
            off = abs(math.log(max(seconds, SHORTEST_SECONDS) / self.predict(size)))
            share = max(FORGET, 1 / self.samples)
            self.error += share * (off - self.error)
        self.samples += 1
        share = max(FORGET, 1 / self.samples)
        off_size, off_seconds = size - self.size, seconds - self.seconds
        self.size += share * off_size
        self.seconds += share * off_seconds
        keep = 1 - share
        self.variance = keep * (self.variance + share * off_size * off_size)
        self.covariance = keep * (self.covariance + share * off_size * off_seconds)

    def predict(self, size: float) -> float:
        """Seconds for a task of that size. A line that falls, or begins below zero, is one that noise has bent: then time is
        taken to grow with size from nothing, or not at all."""
        slope = self.covariance / self.variance if self.variance > 1e-9 else 0.0
        start = self.seconds - slope * self.size
        if slope < 0:
            slope, start = 0.0, self.seconds
        elif start < 0:
            slope, start = self.seconds / max(self.size, 1e-9), 0.0
        return max(start + slope * size, SHORTEST_SECONDS)


class Speeds:
    """What is known of all kinds, models and workers."""

    def __init__(self) -> None:
        self._speeds: dict[SpeedKey, Speed] = {}
        self._changed: set[SpeedKey] = set()

    def learn(self, kind: str, model: str, worker: str, size: float, seconds: float) -> None:
        """Takes in one task that was done."""
        for key in dict.fromkeys(((kind, model, worker), (kind, model, ""), (kind, "", ""))):
            self._speeds.setdefault(key, Speed()).learn(size, seconds)
            self._changed.add(key)

    def predict(self, kind: str, model: str, worker: str, size: float) -> float:
        """Seconds on that worker; with few samples of its own mixed with what is known of its kind elsewhere."""
        own = self._speeds.get((kind, model, worker))
        others = self._speeds.get((kind, model, "")) or self._speeds.get((kind, "", ""))
        if others is None:
            return UNKNOWN_SECONDS
        wider = others.predict(size)
        if own is None:
            return wider
        return (own.samples * own.predict(size) + PRIOR_SAMPLES * wider) / (own.samples + PRIOR_SAMPLES)

    def load(self, learnt: Iterable[tuple[SpeedKey, dict[str, Any]]]) -> None:
        """Takes over what was written down, where nothing newer has been learnt."""
        for key, values in learnt:
            self._speeds.setdefault(key, Speed(**values))

    def take_changed(self) -> dict[SpeedKey, dict[str, Any]]:
        """What has been learnt since the last time, to be written down."""
        changed = {key: asdict(self._speeds[key]) for key in self._changed}
        self._changed.clear()
        return changed
