"""What could be given out now: whose work is looked at, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from nervio.db import queue
from nervio.kernel.time import Instant
from nervio.modules.fleet.domain.dispatch import Candidate, Turns
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.usecases.limits import LimitWatch
from nervio.ports.clock import Clock

MOST_TENANTS = 64
"""Whose work is looked at in one round; the others come in the next ones."""
KEPT_FOR_OTHERS = 16
"""Of these for tenants in whose queue nothing was found that anybody does: they have no turn that would pass, and without places
of their own they would either keep others away or never be looked at again."""


@dataclass(frozen=True, slots=True)
class Found:
    """Tenant → priority → tasks, the longest waiting first; and whether tenants were left for the next round."""

    candidates: Mapping[str, Mapping[int, Sequence[Candidate]]]
    is_cut: bool

    def __len__(self) -> int:
        return sum(len(tasks) for of_tenant in self.candidates.values() for tasks in of_tenant.values())


class Lookout:
    """Of one dispatcher. Used by one round at a time, on whichever thread reads."""

    def __init__(self, clock: Clock, limits: LimitWatch, turns: Turns, is_stopped: Callable[[str], bool]) -> None:
        self._clock, self._limits, self._turns, self._is_stopped = clock, limits, turns, is_stopped
        self._vain: dict[str, float] = {}
        """When a tenant was last looked at in vain, on the monotonic clock."""

    def find(self, connection: Connection, served: Mapping[str, set[str]], most: int) -> Found:
        """What is due of what somebody does (kind → models), so many tasks of each tenant and priority."""
        now = self._clock.now()
        waiting = queue.list_waiting(connection, QUEUE, now)
        room = self._limits.look(connection, waiting)
        going = [tenant for tenant in waiting if room.get(tenant, most) > 0 and not self._is_stopped(tenant)]
        tenants = self._choose(going)
        candidates: dict[str, dict[int, list[Candidate]]] = {}
        for tenant_id in tenants:
            of_tenant = min(most, room.get(tenant_id, most))
            found = self._of(connection, tenant_id, waiting[tenant_id], served, now, of_tenant)
            if any(found.values()):
                candidates[tenant_id] = found
                self._vain.pop(tenant_id, None)
            else:
                self._vain[tenant_id] = self._clock.monotonic()
        return Found(candidates, len(tenants) < len(going))

    def _choose(self, going: Sequence[str]) -> list[str]:
        self._vain = {tenant: at for tenant, at in self._vain.items() if tenant in set(going)}
        by_turn = sorted((t for t in going if t not in self._vain), key=lambda t: (self._turns.tag(t), t))
        by_look = sorted(self._vain, key=lambda tenant: (self._vain[tenant], tenant))
        for_others = max(min(KEPT_FOR_OTHERS, len(by_look)), MOST_TENANTS - len(by_turn))
        return [*by_turn[: MOST_TENANTS - min(KEPT_FOR_OTHERS, len(by_look))], *by_look[:for_others]]

    @staticmethod
    def _of(
        connection: Connection,
        tenant_id: str,
        priorities: Sequence[int],
        served: Mapping[str, set[str]],
        now: Instant,
        most: int,
    ) -> dict[int, list[Candidate]]:
        return {
            priority: [
                Candidate(due.tenant_id, due.id, due.kind, due.model, due.priority, due.size)
                for due in queue.list_due(connection, QUEUE, tenant_id, served, now, priority, most)
            ]
            for priority in priorities
        }
