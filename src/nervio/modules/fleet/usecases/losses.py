"""What has got lost in the queue, and what is still somebody's: one look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from nervio.db import queue
from nervio.kernel.time import Instant
from nervio.modules.fleet.store.answers import list_followers
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.usecases.trying import Recover

MOST_RECOVERED = 500
"""Of each kind in one look; the rest is found by the next."""


@dataclass(frozen=True, slots=True)
class Losses:
    """`orphans`: tenant → (task, token) of tasks whose owner let its lease run out; `overdue`: tenant → tasks whose deadline is
    over; `owned`: what the owner who asks has by the database, with the tokens; `followers`: tenant → tasks that wait for the answer
    to another although it is there or that one has ended, which is named then."""

    orphans: dict[str, list[tuple[str, int]]]
    overdue: dict[str, list[str]]
    owned: dict[queue.WorkKey, int]
    followers: dict[str, list[tuple[str, str | None]]]

    def tenants(self) -> list[str]:
        """Those for whom something is to be done."""
        return sorted({*self.orphans, *self.overdue, *self.followers})

    def of(self, tenant_id: str) -> list[Recover]:
        """What is to be done for one of them."""
        orphans, overdue = self.orphans.get(tenant_id, ()), self.overdue.get(tenant_id, ())
        followers = self.followers.get(tenant_id, ())
        found = [Recover(tuple(orphans), tuple(overdue))] if orphans or overdue else []
        # By themselves: whatever may be wrong with an answer is not to keep what is lost from being found.
        return [*found, Recover((), (), tuple(followers))] if followers else found


def find_lost(connection: Connection, owner: str, now: Instant) -> Losses:
    """Looks without locks: what is done about it looks again."""
    orphans: dict[str, list[tuple[str, int]]] = {}
    for tenant_id, task_id, token in queue.list_orphans(connection, QUEUE, now, MOST_RECOVERED):
        orphans.setdefault(tenant_id, []).append((task_id, token))
    overdue: dict[str, list[str]] = {}
    for tenant_id, task_id in queue.list_overdue(connection, QUEUE, now, MOST_RECOVERED):
        overdue.setdefault(tenant_id, []).append(task_id)
    followers: dict[str, list[tuple[str, str | None]]] = {}
    for tenant_id, task_id, gone_id in list_followers(connection, MOST_RECOVERED):
        followers.setdefault(tenant_id, []).append((task_id, gone_id))
    return Losses(orphans, overdue, queue.list_owned(connection, QUEUE, owner), followers)
