"""What a job may be, whose turn it is, and why one waits. Plain values, no I/O."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from nervio.kernel.errors import invalid
from nervio.kernel.time import Instant
from nervio.modules.jobs.contracts import EnqueueJob, JobRecord, JobState, JobWait

LONGEST_NAME = 80
MOST_RETRIES = 100

_NAME = re.compile(r"[a-z][a-z_]*\.[a-z][a-z0-9_]*")


class OfTenant(Protocol):
    """Anything that is one tenant's."""

    @property
    def tenant_id(self) -> str: ...


T = TypeVar("T", bound=OfTenant)


def check_job(job: EnqueueJob, now: Instant) -> None:
    """Refuses a job that could not be done, and says what to change."""
    if len(job.name) > LONGEST_NAME or not _NAME.fullmatch(job.name):
        raise invalid("invalid_job_name", "name must be that of a job that a module declares.", field="name")
    if not 0 <= job.retries <= MOST_RETRIES:
        raise invalid("invalid_retries", f"retries must be from 0 to {MOST_RETRIES}.", field="retries")
    if job.deadline_at is not None and job.deadline_at <= now:
        raise invalid("deadline_over", "deadline_at must be in the future.", field="deadline_at")


class Turns:
    """Tenants served in rounds: whose last turn is the longest ago comes next."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._turn = 0

    def in_order(self, tenants: Iterable[str]) -> list[str]:
        """Tenants, the next one first."""
        return sorted(tenants, key=lambda tenant: (self._last.get(tenant, 0), tenant))

    def had(self, tenant_id: str) -> None:
        """A tenant has had its turn."""
        self._turn += 1
        self._last[tenant_id] = self._turn

    def take(self, due: Mapping[str, Sequence[T]], room: int) -> list[T]:
        """As many as there is room for, one of each tenant in turn. A tenant that has nothing has had its turn too, or those
        behind it would never be looked at."""
        left = {tenant_id: deque(jobs) for tenant_id, jobs in due.items()}
        taken: list[T] = []
        while left and len(taken) < room:
            tenant_id = self.in_order(left)[0]
            self.had(tenant_id)
            if left[tenant_id]:
                taken.append(left[tenant_id].popleft())
            else:
                del left[tenant_id]
        return taken


def why_waiting(job: JobRecord, known: Collection[str], now: Instant, *, stopped: bool) -> JobWait | None:
    """Why a job is not being done now; None of one that does not wait."""
    if job.state is not JobState.WAITING:
        return None
    if job.name not in known:
        return JobWait.UNKNOWN
    if stopped:
        return JobWait.STOPPED
    return JobWait.PAUSE if job.run_at > now else JobWait.TURN
