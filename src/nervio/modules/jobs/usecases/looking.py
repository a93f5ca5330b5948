"""What there is to do for a process that works jobs off: one look at the queue, without locks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from nervio.db import queue
from nervio.db.halt import Halt
from nervio.db.jobs import Job
from nervio.kernel.time import Instant
from nervio.modules.jobs import store
from nervio.modules.jobs.contracts import QUEUE
from nervio.modules.jobs.domain import Turns

MOST_TENANTS = 64
"""Whose jobs are looked at in one round; the others come in the next ones, by their turns."""

FindBlocking = Callable[[str, str], Halt | None]
"""(tenant, module) → the stop that forbids beginning anything; `HaltWatch.find_blocking_effect`."""


@dataclass(frozen=True, slots=True)
class Look:
    """`due`: jobs to be claimed now, as many as there is room for; `next_at`: when something may be to be done that is not now."""

    losses: queue.Losses
    due: list[queue.Due]
    next_at: Instant | None


def find_stop(find_blocking: FindBlocking, tenant_id: str, job: Job) -> Halt | None:
    """The stop that keeps a tenant's job from running."""
    stops = (find_blocking(tenant_id, module) for module in ("jobs", *job.modules))
    return next((stop for stop in stops if stop is not None), None)


class Lookout:
    """Looks for one process, and remembers whose turn it is."""

    def __init__(self, owner: str, jobs: Sequence[Job], find_blocking: FindBlocking) -> None:
        self._owner, self._jobs, self._find_blocking = owner, jobs, find_blocking
        self._turns = Turns()

    def look(self, connection: Connection, now: Instant, room: int) -> Look:
        """One look. What is found is looked at again where it is moved."""
        losses = queue.find_losses(connection, QUEUE, self._owner, now)
        due = self._find_due(connection, now, room) if room and self._jobs else []
        soon = [store.find_next_lapse(connection, self._owner)]
        if len(due) < room:  # else the next look comes when one of them has ended
            soon.append(queue.find_next_due(connection, QUEUE, now))
        return Look(losses, due, min((at for at in soon if at is not None), default=None))

    def _find_due(self, connection: Connection, now: Instant, room: int) -> list[queue.Due]:
        waiting = queue.list_waiting(connection, QUEUE, now)
        found: dict[str, list[queue.Due]] = {}
        for tenant_id in self._turns.in_order(waiting)[:MOST_TENANTS]:
            jobs: list[queue.Due] = []
            # What a stop forbids is left out, so that it does not keep what may run from being found.
            may = [job.name for job in self._jobs if find_stop(self._find_blocking, tenant_id, job) is None]
            for priority in waiting[tenant_id] if may else ():
                if len(jobs) < room:
                    served = dict.fromkeys(may, ())
                    jobs += queue.list_due(connection, QUEUE, tenant_id, served, now, priority, room - len(jobs))
            found[tenant_id] = jobs
        return self._turns.take(found, room)
