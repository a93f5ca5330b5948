"""The queues before a writer, one a lane: bounded, cut into batches by estimated time, counted while they are written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nervio.db.batch import Command, Lane
from nervio.db.execution import Outcome
from nervio.kernel.errors import Kind, NervioError

MIN_BATCH_WEIGHT = 128
MIN_WEIGHT_BESIDE_TILL = 32
MAX_BATCH_WEIGHT = 4096
ENOUGH_COMMANDS = 16


@dataclass(slots=True, eq=False)
class Waiting:
    """A command in the queue and the future its caller waits on."""

    command: Command[Any, Any]
    answer: asyncio.Future[Outcome]
    group: object = None
    """Commands that came together, in an order that counts: no two batches that are under way may hold some of them."""


class CostEstimate:
    """What one more unit of weight adds to a batch's time: the slope of a line fitted with exponential forgetting.

    The fixed cost of a commit must stay out of it. Dividing a batch's time by its weight would make small batches look
    dear, so that the next were cut smaller still, until every command paid for a commit of its own.
    """

    _FORGET = 0.05
    _FLOOR = 2e-6
    _CEILING = 500e-6

    def __init__(self) -> None:
        self.seconds_per_unit = 40e-6
        self._weight = self._seconds = self._variance = self._covariance = 0.0

    def learn(self, weight: int, seconds: float) -> None:
        """Takes in one batch."""
        off_weight, off_seconds = weight - self._weight, seconds - self._seconds
        self._weight += self._FORGET * off_weight
        self._seconds += self._FORGET * off_seconds
        keep = 1 - self._FORGET
        self._variance = keep * (self._variance + self._FORGET * off_weight * off_weight)
        self._covariance = keep * (self._covariance + self._FORGET * off_weight * off_seconds)
        if self._variance > 1.0:
            self.seconds_per_unit = min(max(self._covariance / self._variance, self._FLOOR), self._CEILING)


class LaneQueue:
    """The bounded queue of one lane and its estimate of what a unit of weight costs."""

    def __init__(self, lane: Lane, capacity: int) -> None:
        self.lane = lane
        self._capacity = capacity
        self._waiting: deque[Waiting] = deque()
        self._cost = CostEstimate()
        self._under_way = 0
        self._groups_under_way: set[object] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_enough(self) -> bool:
        """Whether a batch is worth cutting although more callers may be about to queue up."""
        return len(self._waiting) >= ENOUGH_COMMANDS

    def put(self, waiting: Waiting) -> None:
        """Adds a command; a full queue is refused with `too_many`, so that memory and waiting stay bounded."""
        if len(self._waiting) >= self._capacity:
            raise NervioError(
                Kind.TOO_MANY,
                "queue_full",
                "Too many writes are waiting; send this again shortly.",
                lane=self.lane.value,
            )
        self._waiting.append(waiting)

    def take(self, seconds: float, least: int = MIN_BATCH_WEIGHT) -> list[Waiting]:
        """The next batch, of about that many seconds, or of the weight `least` if that is more. Commands whose callers gave
        up are withdrawn and never run."""
        return self._take(seconds, len(self._waiting), least)

    def take_share(self, seconds: float) -> list[Waiting]:
        """The next batch for one of two who write in turn: half of what is outstanding, so that the other has as much.

        Nothing while the other is writing and there is too little left for a batch that is worth its commit.
        """
        if self._under_way and len(self._waiting) < max(self._under_way // 2, ENOUGH_COMMANDS):
            return []
        most = max((self._under_way + len(self._waiting)) // 2, ENOUGH_COMMANDS)
        batch = self._take(seconds, most, MIN_BATCH_WEIGHT)
        self._under_way += len(batch)
        self._groups_under_way.update(waiting.group for waiting in batch if waiting.group is not None)
        return batch

    def written(self, batch: Sequence[Waiting]) -> None:
        """Ends a batch that `take_share` gave."""
        self._under_way -= len(batch)
        self._groups_under_way.difference_update(waiting.group for waiting in batch)

    def _take(self, seconds: float, most: int, least: int) -> list[Waiting]:
        fits = seconds / self._cost.seconds_per_unit
        budget = min(max(fits, least), MAX_BATCH_WEIGHT)
        batch: list[Waiting] = []
        while self._waiting and len(batch) < most and (not batch or budget >= self._waiting[0].command.weight):
            if self._waiting[0].group in self._groups_under_way:
                break
            waiting = self._waiting.popleft()
            if not waiting.answer.cancelled():
                batch.append(waiting)
                budget -= waiting.command.weight
        return batch

    def measured(self, batch: Sequence[Waiting], seconds: float) -> None:
        """Learns from a batch that was written."""
        self._cost.learn(sum(waiting.command.weight for waiting in batch), seconds)

    def drain(self) -> list[Waiting]:
        """Everything that still waits, taken out."""
        left = list(self._waiting)
        self._waiting.clear()
        return left
