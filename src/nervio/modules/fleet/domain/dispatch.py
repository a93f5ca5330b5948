"""Who is next, and who does it: pure choices over what waits and what workers can take.

Between tenants: start-time fair queueing (Goyal, Vin and Cheng, 1996), each tenant charged with the seconds that its tasks are
predicted to take. Within a tenant: self-clocked fair queueing (Golestani, 1994) between priorities by their weights, the longest
wait first in each. Weighing how long tasks have waited would let low ones starve: while more urgent work comes than can be done,
its waits grow as fast as theirs. Between workers: the earliest predicted finish, where a task may be left waiting for a fast
worker that is about to be free rather than be given to a slow one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nervio.modules.fleet.contracts import Priority

WEIGHTS: Mapping[int, float] = {Priority.HIGH: 16.0, Priority.NORMAL: 4.0, Priority.LOW: 1.0}
"""What share of a tenant's turns each priority has while there is work of all of them: of seventeen that are high or low, one is
low, whatever waits."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that waits and may be claimed now."""

    tenant_id: str
    id: str
    kind: str
    model: str
    priority: int
    size: int


AHEAD_SECONDS = 0.1
"""A task that is likely to take longer, or to wait for longer at its worker, is not handed over before it can begin: to be a round
trip late costs it little, and until then somebody else may do it sooner, or somebody else's task come first."""


class Slots:
    """When a worker's slots are likely to be free, in seconds from now: `count` slots, `unused` of which nobody has; where it is
    negative, so many tasks, of `waiting` seconds in all, wait at the worker for one. `look` lists how long those at work are likely
    to go on; it is asked only where no slot is unused.

    What waits is taken to be equally long and dealt to the slots in turn. That is exact for one slot, and near enough for many.
    """

    def __init__(
        self, count: int, unused: int, waiting: float = 0.0, look: Callable[[], Iterable[float]] = lambda: ()
    ) -> None:
        self._count, self._unused, self._waiting, self._look = max(count, 1), unused, waiting, look
        self._begun: list[float] = []
        self._earliest: float | None = None

    def first(self) -> float:
        """Seconds until the first of them is free."""
        if self._unused > 0:
            return 0.0
        if self._earliest is None:
            self._earliest = min((*self._look(), *self._begun), default=0.0)
        rounds, average = -self._unused // self._count, self._waiting / max(-self._unused, 1)
        return self._earliest + rounds * average

    def take(self, seconds: float) -> None:
        """Accounts for one more task on the slot that is free first."""
        if self._unused > 0:
            self._begun.append(seconds)
        else:
            self._waiting += seconds
        self._unused -= 1


@dataclass(slots=True)
class Capacity:
    """What a worker can take: `free` more tasks, of which it can begin `idle` at once."""

    worker_id: str
    kinds: frozenset[str]
    models: frozenset[str]
    free: int
    slots: Slots
    idle: int = 1_000_000

    def takes(self, seconds: float) -> bool:
        """Whether a task that takes so long may be handed to it now."""
        if self.free <= 0:
            return False
        return self.idle > 0 or max(seconds, self.slots.first()) <= AHEAD_SECONDS

    def can_do(self, kind: str, model: str) -> bool:
        """Whether the worker does such tasks."""
        return kind in self.kinds and (not model or model in self.models)

    def take(self, seconds: float) -> None:
        """Accounts for one more task on the slot that is free first."""
        self.idle -= 1
        self.slots.take(seconds)


def remaining(predicted: float, elapsed: float) -> float:
    """Seconds that a task is likely to go on. One that runs over its time is expected to go on as long as it has run over: a worker
    that hangs must not look as if it were about to be free for ever."""
    return abs(predicted - elapsed)


class Turns:
    """Whose turn it is, among tenants and among a tenant's priorities. Keeps a few numbers for each tenant that has had work
    lately."""

    MOST_REMEMBERED = 10_000

    def __init__(self) -> None:
        self._tags: dict[str, float] = {}
        self._now = 0.0
        self._finishes: dict[str, tuple[float, dict[int, float]]] = {}
        """The virtual time within a tenant, and when the next task of each priority that has work would finish."""

    def tag(self, tenant_id: str) -> float:
        """The virtual time at which the tenant's next task would start; the lowest is next. Who had nothing waiting for a
        while begins at the present and does not make up for it."""
        return max(self._tags.get(tenant_id, 0.0), self._now)

    def charge(self, tenant_id: str, seconds: float, share: float = 1.0) -> None:
        """Accounts for a task of the tenant that was given out."""
        start = self.tag(tenant_id)
        self._now = max(self._now, start)
        self._tags[tenant_id] = start + seconds / share
        if len(self._tags) > self.MOST_REMEMBERED:
            self._tags = {tenant: tag for tenant, tag in self._tags.items() if tag > self._now}
            self._finishes = {tenant: of for tenant, of in self._finishes.items() if tenant in self._tags}

    def next_priority(self, tenant_id: str, waiting: Iterable[int]) -> int:
        """Which of the tenant's priorities that have work comes next: the one whose next task would finish first if each had
        its share all the time. To be asked before each task that is served."""
        present, before = self._finishes.get(tenant_id, (0.0, {}))
        finishes = {
            priority: before[priority] if priority in before else present + 1 / WEIGHTS[priority]
            for priority in sorted(waiting)
        }
        self._finishes[tenant_id] = present, finishes
        return min(finishes, key=lambda priority: finishes[priority])

    def serve(self, tenant_id: str, priority: int) -> None:
        """Accounts for a task of the priority that came next."""
        _, finishes = self._finishes[tenant_id]
        present = finishes[priority]
        finishes[priority] = present + 1 / WEIGHTS[priority]
        self._finishes[tenant_id] = present, finishes


Predict = Callable[[str, str, str, float], float]
"""(kind, model, worker, size) → seconds."""


def choose(
    candidates: Mapping[str, Mapping[int, Sequence[Candidate]]],
    capacities: Sequence[Capacity],
    turns: Turns,
    predict: Predict,
) -> list[tuple[Candidate, str]]:
    """Which tasks to give to which workers now: (task, worker id), in the order of their turns.

    `candidates`: tenant → priority → tasks, the longest waiting first. The capacities and turns are changed.
    """
    waiting = {
        tenant: {priority: deque(tasks) for priority, tasks in of_tenant.items() if tasks}
        for tenant, of_tenant in candidates.items()
    }
    heap = [(turns.tag(tenant), tenant) for tenant, of_tenant in sorted(waiting.items()) if of_tenant]
    heapq.heapify(heap)
    room = sum(capacity.free for capacity in capacities)
    chosen: list[tuple[Candidate, str]] = []
    while heap and room:
        _, tenant = heapq.heappop(heap)
        of_tenant = waiting[tenant]
        task = _take_next(of_tenant, turns.next_priority(tenant, of_tenant))
        found = find_worker(task, capacities, predict)
        if found is not None:
            capacity, seconds = found
            takes = capacity.takes(seconds)
            capacity.take(seconds)
            if takes:
                capacity.free -= 1
                room -= 1
                chosen.append((task, capacity.worker_id))
                turns.charge(tenant, seconds)
                turns.serve(tenant, task.priority)
        if of_tenant:
            heapq.heappush(heap, (turns.tag(tenant), tenant))
    return chosen


def _take_next(of_tenant: dict[int, deque[Candidate]], priority: int) -> Candidate:
    task = of_tenant[priority].popleft()
    if not of_tenant[priority]:
        del of_tenant[priority]
    return task


class Wanted(Protocol):
    """What is asked of whoever does a task."""

    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def size(self) -> int: ...


def find_worker(task: Wanted, capacities: Sequence[Capacity], predict: Predict) -> tuple[Capacity, float] | None:
    """The worker that is likely to be done with it first, whether it has room or not, and the seconds that it is likely to take;
    None where no worker does such tasks."""
    best: tuple[float, bool, str] | None = None
    found = None
    for capacity in capacities:
        if not capacity.can_do(task.kind, task.model):
            continue
        seconds = predict(task.kind, task.model, capacity.worker_id, task.size)
        rank = (capacity.slots.first() + seconds, not capacity.takes(seconds), capacity.worker_id)
        if best is None or rank < best:
            best, found = rank, (capacity, seconds)
    return found
