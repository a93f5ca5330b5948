"""The workers of this process: what each said of itself, what it holds, when it was last heard of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from nervio.kernel.time import Instant
from nervio.modules.fleet.contracts import WorkerStatus
from nervio.modules.fleet.domain.dispatch import Candidate, Capacity, Predict, Slots, remaining
from nervio.modules.fleet.store.workers import WorkerState
from nervio.ports.workers import Assignment, Profile, WorkerTransport

TaskKey = tuple[str, str]
"""(tenant, task id)"""


@dataclass(slots=True)
class Held:
    """An assignment that a worker has."""

    assignment: Assignment
    predicted: float
    begun_at: float | None
    """On the monotonic clock; None while it waits at its worker for a slot."""

    def elapsed(self, now: float) -> float:
        """Seconds that it has been worked on, as far as is known here."""
        return 0.0 if self.begun_at is None else now - self.begun_at


@dataclass(slots=True)
class Member:
    """A worker that is connected."""

    profile: Profile
    transport: WorkerTransport
    heard_at: float
    seen_at: Instant
    held: dict[TaskKey, Held] = field(default_factory=dict)
    promised: list[float] = field(default_factory=list)
    """The predicted seconds of tasks that are about to be queued and claimed for it in one commit."""
    waiting_seconds: float = 0.0
    """What the tasks are likely to take in all that it holds and has not begun."""
    completed: int = 0
    failed: int = 0
    worked_ms: int = 0
    """Counts since they were last written down."""

    @property
    def free(self) -> int:
        """How many more tasks it takes."""
        return max(self.profile.credit - len(self.held) - len(self.promised), 0)

    @property
    def idle(self) -> int:
        """How many more tasks it can begin at once; a slot takes a whole batch."""
        at_once = self.profile.slots * max(self.profile.batch, 1)
        return max(at_once - len(self.held) - len(self.promised), 0)

    def capacity(self, now: float) -> Capacity:
        """What it can take."""
        unused = self.profile.slots - len(self.held)
        begins, waits = self.promised[: max(unused, 0)], self.promised[max(unused, 0) :]

        def look() -> list[float]:
            at_work = islice(self.held.values(), self.profile.slots)
            return [*(remaining(one.predicted, one.elapsed(now)) for one in at_work), *begins]

        slots = Slots(
            self.profile.slots, unused - len(self.promised), max(self.waiting_seconds, 0.0) + sum(waits), look
        )
        kinds, models = frozenset(self.profile.kinds), frozenset(self.profile.models)
        return Capacity(self.profile.id, kinds, models, self.free, slots, self.idle)

    def state(self, status: WorkerStatus) -> WorkerState:
        """How it is, to be written down; its counts begin again."""
        state = WorkerState(
            self.profile,
            self.transport.name,
            status,
            len(self.held),
            self.completed,
            self.failed,
            self.worked_ms,
            self.seen_at,
        )
        self.completed = self.failed = self.worked_ms = 0
        return state


class Roster:
    """All of them. `now` and `monotonic` are the clock's."""

    def __init__(self, now: Callable[[], Instant], monotonic: Callable[[], float]) -> None:
        self._now, self._monotonic = now, monotonic
        self._members: dict[str, Member] = {}
        self._holders: dict[TaskKey, tuple[str, int]] = {}
        self._gone: list[WorkerState] = []
        self._superseded: list[tuple[str, Assignment]] = []
        self.changes = 0
        """Grows whenever workers may take less, or other workers are there; but not with what is promised by `Places`."""

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def find(self, worker_id: str) -> Member | None:
        """The worker with that id, if it is connected."""
        return self._members.get(worker_id)

    def join(self, transport: WorkerTransport, profile: Profile) -> list[Assignment]:
        """Takes in a worker, or what it newly says of itself; returns what an earlier boot of it held, which is lost."""
        self.changes += 1
        before = self._members.get(profile.id)
        if before is not None and before.profile.boot == profile.boot:
            before.profile, before.transport = profile, transport
            before.waiting_seconds = sum(one.predicted for one in islice(before.held.values(), profile.slots, None))
            self.hear(profile.id)
            return []
        lost = [] if before is None else self.leave(profile.id)
        self._members[profile.id] = Member(profile, transport, self._monotonic(), self._now())
        return lost

    def hear(self, worker_id: str) -> None:
        """A sign of life."""
        member = self._members.get(worker_id)
        if member is not None:
            member.heard_at, member.seen_at = self._monotonic(), self._now()

    def leave(self, worker_id: str) -> list[Assignment]:
        """Takes a worker out; returns what it held."""
        self.changes += 1
        member = self._members.pop(worker_id, None)
        if member is None:
            return []
        lost = [held.assignment for held in member.held.values()]
        for assignment in lost:
            key = assignment.tenant_id, assignment.task_id
            if self._holders.get(key) == (worker_id, assignment.token):
                del self._holders[key]
        member.held.clear()
        self._gone.append(member.state(WorkerStatus.GONE))
        return lost

    def list_silent(self, seconds: float) -> list[Member]:
        """Workers that have not been heard of for so long."""
        since = self._monotonic() - seconds
        return [member for member in self._members.values() if member.heard_at < since]

    def give(self, worker_id: str, assignment: Assignment, predicted: float) -> bool:
        """Notes that a worker holds a task; False where it has gone meanwhile."""
        member = self._members.get(worker_id)
        if member is None:
            return False
        key = assignment.tenant_id, assignment.task_id
        before = self._holders.get(key)
        if before is not None:
            # Ended and begun anew before its old holder was told: that one stops now, and has its slot back.
            taken = self.take_back(key, before[1])
            if taken is not None:
                self._superseded.append((before[0], taken[1].assignment))
        begun_at = self._monotonic() if len(member.held) < member.profile.slots else None
        if begun_at is None:
            member.waiting_seconds += predicted
        member.held[key] = Held(assignment, predicted, begun_at)
        self._holders[key] = worker_id, assignment.token
        return True

    def take_back(self, key: TaskKey, token: int, worker_id: str | None = None) -> tuple[Member, Held] | None:
        """Notes that a task is nobody's any more, where it is held under that token, and by that worker if one is named."""
        holder = self._holders.get(key)
        if holder is None or holder[1] != token or worker_id not in (None, holder[0]):
            return None
        del self._holders[key]
        member = self._members[holder[0]]
        held = member.held.pop(key)
        slots = max(member.profile.slots, 1)
        if held.begun_at is None:
            member.waiting_seconds -= held.predicted
        if len(member.held) >= slots:
            (next_one,) = islice(member.held.values(), slots - 1, slots)
            if next_one.begun_at is None:  # it waited for the slot that is free now
                next_one.begun_at = self._monotonic()
                member.waiting_seconds -= next_one.predicted
        else:
            member.waiting_seconds = 0.0  # so that what rounding leaves does not add up
        return member, held

    def take_superseded(self) -> list[tuple[str, Assignment]]:
        """What workers have that was given to another since, or to them anew: they are to be told to stop."""
        superseded, self._superseded = self._superseded, []
        return superseded

    @contextmanager
    def promising(self, chosen: Sequence[tuple[Candidate, str]], predict: Predict) -> Iterator[None]:
        """Keeps the places of tasks that are being claimed from being given away meanwhile."""
        self.changes += 1
        promised: list[tuple[Member, float]] = []
        for task, worker_id in chosen:
            member = self._members.get(worker_id)
            if member is not None:
                seconds = predict(task.kind, task.model, worker_id, task.size)
                member.promised.append(seconds)
                promised.append((member, seconds))
        try:
            yield
        finally:
            self.changes += 1
            for member, seconds in promised:
                member.promised.remove(seconds)

    def find_held(self, key: TaskKey, token: int) -> Held | None:
        """The assignment that is held under that token."""
        holder = self._holders.get(key)
        return None if holder is None or holder[1] != token else self._members[holder[0]].held[key]

    def held(self) -> dict[TaskKey, int]:
        """Everything that is held: task → token."""
        return {key: token for key, (_, token) in self._holders.items()}

    def served(self) -> dict[str, set[str]]:
        """The kinds that somebody does, each with the models it is done with."""
        served: dict[str, set[str]] = {}
        for member in self._members.values():
            for kind in member.profile.kinds:
                served.setdefault(kind, set()).update(member.profile.models)
        return served

    def capacities(self) -> list[Capacity]:
        """What every worker can take, with the seconds until its slots are likely to be free."""
        now = self._monotonic()
        return [member.capacity(now) for member in self._members.values()]

    def take_states(self) -> list[WorkerState]:
        """How all workers are, those too that have gone since the last time; their counts begin again."""
        gone, self._gone = self._gone, []
        present = [member.state(WorkerStatus.BUSY if member.held else WorkerStatus.IDLE) for member in self]
        ids = {state.profile.id for state in present}
        return [*_last_of_each(state for state in gone if state.profile.id not in ids), *present]


def _last_of_each(states: Iterable[WorkerState]) -> list[WorkerState]:
    """One state a worker: the newest, with the counts of all."""
    newest: dict[str, WorkerState] = {}
    for state in states:
        before = newest.get(state.profile.id)
        if before is not None:
            state = replace(  # noqa: PLW2901 (the sum takes the state's place)
                state,
                completed=before.completed + state.completed,
                failed=before.failed + state.failed,
                worked_ms=before.worked_ms + state.worked_ms,
            )
        newest[state.profile.id] = state
    return list(newest.values())
