"""Which worker gets a task: ours beside round robin, least outstanding and credit alone, on the same arrivals.

Ten workers of three speeds, tasks whose sizes have a heavy tail, at 80 % of what the workers can do. A simulation in virtual time:
what is compared are the choices, which are the product's own code; nothing here models a network.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.figures import percentile
from nervio.modules.fleet.domain.dispatch import Candidate, Capacity, Slots, Turns, choose, remaining
from nervio.modules.fleet.domain.prediction import Speeds

SPEEDS = (4.0, 4.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Units of work a second."""
LOAD = 0.8
NOISE = 0.3
"""Standard deviation of the logarithm of what a task takes longer or shorter than its size says."""
SHAPE = 1.0
"""Of the lognormal sizes: the largest of a thousand is twenty times the usual."""
WARM_UP = 0.1
"""Share of the tasks that are not counted, while speeds are being learnt."""
LOOK_AHEAD = 64


@dataclass(slots=True)
class Task:
    """A task of the simulation; times in seconds."""

    n: int
    size: float
    factor: float
    arrived: float
    ended: float = 0.0


@dataclass(slots=True)
class Worker:
    """A worker with one slot; `queue` is what was given to it, the first of which it works on."""

    n: int
    speed: float
    queue: deque[Task] = field(default_factory=deque)
    began: float = 0.0


Policy = Callable[[deque[Task], Sequence[Worker], float], list[tuple[Task, Worker]]]
"""(waiting, workers, now) → what to give to whom; takes it out of `waiting`."""


def simulate(
    make: Callable[[random.Random], tuple[Policy, Callable[[Task, Worker, float], None]]], tasks: int, seed: int
) -> dict[str, float]:
    """Mean, p95 and p99 seconds from arrival to end under a policy; the same seed brings the same tasks to every policy."""
    draw = random.Random(seed)
    mean_size = 2.718281828 ** (SHAPE * SHAPE / 2)
    rate = LOAD * sum(SPEEDS) / mean_size
    arrivals, now = [], 0.0
    for n in range(tasks):
        now += draw.expovariate(rate)
        arrivals.append(Task(n, draw.lognormvariate(0, SHAPE), draw.lognormvariate(-NOISE * NOISE / 2, NOISE), now))
    policy, learn = make(random.Random(seed + 1))
    workers = [Worker(n, speed) for n, speed in enumerate(SPEEDS)]
    waiting: deque[Task] = deque()
    order = itertools.count()
    events: list[tuple[float, int, Task, Worker | None]] = [
        (task.arrived, next(order), task, None) for task in arrivals
    ]
    heapq.heapify(events)
    while events:
        now, _, task, worker = heapq.heappop(events)
        if worker is None:
            waiting.append(task)
        else:
            task.ended = now
            worker.queue.popleft()
            learn(task, worker, now - worker.began)
            if worker.queue:
                _begin(worker, now, events, order)
        for given, to in policy(waiting, workers, now):
            to.queue.append(given)
            if len(to.queue) == 1:
                _begin(to, now, events, order)
    sojourns = [task.ended - task.arrived for task in arrivals[int(WARM_UP * tasks) :]]
    return {
        "mean": sum(sojourns) / len(sojourns),
        "p95": percentile(sojourns, 95),
        "p99": percentile(sojourns, 99),
    }


def _begin(
    worker: Worker, now: float, events: list[tuple[float, int, Task, Worker | None]], order: "itertools.count[int]"
) -> None:
    task = worker.queue[0]
    worker.began = now
    heapq.heappush(events, (now + task.size * task.factor / worker.speed, next(order), task, worker))


def _learns_nothing(_task: Task, _worker: Worker, _seconds: float) -> None:
    pass


def round_robin(_draw: random.Random) -> tuple[Policy, Callable[[Task, Worker, float], None]]:
    """To each in turn at arrival, as a shared subscription does."""
    turns = itertools.count()

    def policy(waiting: deque[Task], workers: Sequence[Worker], _now: float) -> list[tuple[Task, Worker]]:
        given = [(task, workers[next(turns) % len(workers)]) for task in waiting]
        waiting.clear()
        return given

    return policy, _learns_nothing


def least_outstanding(draw: random.Random) -> tuple[Policy, Callable[[Task, Worker, float], None]]:
    """To whoever has the fewest at arrival."""

    def policy(waiting: deque[Task], workers: Sequence[Worker], _now: float) -> list[tuple[Task, Worker]]:
        given = [(task, min(workers, key=lambda worker: (len(worker.queue), draw.random()))) for task in waiting]
        waiting.clear()
        return given

    return policy, _learns_nothing


def credit_only(draw: random.Random) -> tuple[Policy, Callable[[Task, Worker, float], None]]:
    """To any worker that is idle, as a queue does that workers take from."""

    def policy(waiting: deque[Task], workers: Sequence[Worker], _now: float) -> list[tuple[Task, Worker]]:
        given = []
        idle = [worker for worker in workers if not worker.queue]
        draw.shuffle(idle)
        while waiting and idle:
            given.append((waiting.popleft(), idle.pop()))
        return given

    return policy, _learns_nothing


def _slots(known: Sequence[tuple[float, float]]) -> Slots:
    """Of a worker with one slot, for (predicted, elapsed) seconds of what it has, the oldest first."""
    waiting = sum(predicted for predicted, _ in known[1:])
    return Slots(1, 1 - len(known), waiting, lambda: [remaining(*one) for one in known[:1]])


def ours(_draw: random.Random) -> tuple[Policy, Callable[[Task, Worker, float], None]]:
    """The product's own choice, with speeds that it learns as it goes."""
    speeds, turns = Speeds(), Turns()
    held: dict[tuple[int, int], tuple[float, float]] = {}

    def policy(waiting: deque[Task], workers: Sequence[Worker], now: float) -> list[tuple[Task, Worker]]:
        if not waiting:
            return []
        capacities = []
        for worker in workers:
            # What is worked on has run since it began; what waits behind it has not run at all.
            elapsed = [now - worker.began if at == 0 else 0.0 for at in range(len(worker.queue))]
            known = [(held[worker.n, task.n][0], ran) for task, ran in zip(worker.queue, elapsed, strict=True)]
            name = f"w{worker.n}"
            capacities.append(Capacity(name, frozenset({"chat"}), frozenset(), 1 - min(len(known), 1), _slots(known)))
        by_id = {str(task.n): task for task in itertools.islice(waiting, LOOK_AHEAD)}
        candidates = [Candidate("t", name, "chat", "", 1, _size(task)) for name, task in by_id.items()]
        given = []
        for candidate, name in choose({"t": {1: candidates}}, capacities, turns, speeds.predict):
            task, worker = by_id[candidate.id], workers[int(name[1:])]
            held[worker.n, task.n] = speeds.predict("chat", "", name, _size(task)), now
            waiting.remove(task)
            given.append((task, worker))
        return given

    def learn(task: Task, worker: Worker, seconds: float) -> None:
        held.pop((worker.n, task.n))
        speeds.learn("chat", "", f"w{worker.n}", _size(task), seconds)

    return policy, learn


def _size(task: Task) -> int:
    return max(1, int(1000 * task.size))


POLICIES = {
    "ours": ours,
    "credit_only": credit_only,
    "least_outstanding": least_outstanding,
    "round_robin": round_robin,
}
