"""What has got lost in the queue, and what is still somebody's: one look."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from nervio.db import queue
from nervio.kernel.time import Instant
from nervio.modules.fleet.store.tasks import QUEUE

MOST_RECOVERED = 500
"""Of each kind in one look; the rest is found by the next."""


@dataclass(frozen=True, slots=True)
class Losses:
    """`orphans`: tenant → (task, token) of tasks whose owner let its lease run out; `overdue`: tenant → tasks whose deadline is
    over; `owned`: what the owner who asks has by the database, with the tokens."""

    orphans: dict[str, list[tuple[str, int]]]
    overdue: dict[str, list[str]]
    owned: dict[queue.WorkKey, int]


def find_lost(connection: Connection, owner: str, now: Instant) -> Losses:
    """Looks without locks: what is done about it looks again."""
    orphans: dict[str, list[tuple[str, int]]] = {}
    for tenant_id, task_id, token in queue.list_orphans(connection, QUEUE, now, MOST_RECOVERED):
        orphans.setdefault(tenant_id, []).append((task_id, token))
    overdue: dict[str, list[str]] = {}
    for tenant_id, task_id in queue.list_overdue(connection, QUEUE, now, MOST_RECOVERED):
        overdue.setdefault(tenant_id, []).append(task_id)
    return Losses(orphans, overdue, queue.list_owned(connection, QUEUE, owner))
