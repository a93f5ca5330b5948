"""What has got lost in the queue, and what is still somebody's: one look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from nervio.db import queue
from nervio.kernel.time import Instant
from nervio.modules.fleet.store.answers import list_followers
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.usecases.trying import Recover


@dataclass(frozen=True, slots=True)
class Losses(queue.Losses):
    """`followers`: tenant → tasks that wait for the answer to another although it is there or that one has ended, which is named
    then."""

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
    lost = queue.find_losses(connection, QUEUE, owner, now)
    followers: dict[str, list[tuple[str, str | None]]] = {}
    for tenant_id, task_id, gone_id in list_followers(connection, queue.MOST_RECOVERED):
        followers.setdefault(tenant_id, []).append((task_id, gone_id))
    return Losses(lost.orphans, lost.overdue, lost.owned, followers)
