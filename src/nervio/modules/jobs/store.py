"""Jobs as they stand, and what a process that works them off looks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, func, literal_column, null, select

from nervio.db.keyset import read_page
from nervio.db.pruning import Aged
from nervio.db.queue import IS_RUNNING, IS_WAITING
from nervio.db.tables import leases, queue_items
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.jobs.contracts import QUEUE

_Q = queue_items.c

_SHOWN = (
    _Q.id, _Q.kind, _Q.state, _Q.priority, _Q.payload, _Q.result, _Q.error, _Q.checkpoint, _Q.attempts, _Q.most_attempts,
    _Q.created_by, _Q.created_at, _Q.run_at, _Q.deadline_at, _Q.started_at, _Q.ended_at,
)  # fmt: skip

_BRIEF = tuple(null().label(column.name) if column.name in ("payload", "result") else column for column in _SHOWN)
"""Without what may have hundreds of kilobytes a row."""


def list_jobs(
    connection: TenantConnection,
    *,
    state: str | None,
    name: str | None,
    before: tuple[Instant, str] | None,
    limit: int,
    backwards: bool = False,
) -> Sequence[Any]:
    """Rows of jobs, without payloads and results, the newest first; `before` is (created_at, id) of the last one seen, or of the first when `backwards`."""
    statement = select(*_BRIEF).where(_Q.tenant_id == connection.tenant_id, _Q.queue == QUEUE)
    if state is not None:
        statement = statement.where(_Q.state == state)
    if name is not None:
        statement = statement.where(_Q.kind == name)
    return read_page(connection, statement, (_Q.created_at, _Q.id), before, limit, descending=True, backwards=backwards)


def find_job(connection: TenantConnection, job_id: str) -> Any:
    """The row of one job; None where there is none."""
    wanted = (_Q.tenant_id == connection.tenant_id, _Q.id == job_id, _Q.queue == QUEUE)
    return connection.execute(select(*_SHOWN).where(*wanted)).first()


def aged_jobs(days: int) -> Aged:
    """Jobs that have ended, to be pruned by their age."""
    return Aged(queue_items, days, _Q.ended_at, _Q.queue == QUEUE)


def find_next_lapse(connection: Connection, owner: str) -> Instant | None:
    """When the first of the other owners that have jobs would be gone, were it not heard of again."""
    others = (_Q.queue == QUEUE, IS_RUNNING, _Q.owner != owner, leases.c.name == literal_column("'queue:'") + _Q.owner)
    return connection.execute(select(func.min(leases.c.expires_at)).where(*others)).scalar()


def count_unknown(connection: Connection, known: Collection[str]) -> int:
    """Jobs of all tenants that wait and of which no module knows the name."""
    waits = (_Q.queue == QUEUE, IS_WAITING, _Q.kind.not_in(known))
    count: int = connection.execute(select(func.count()).where(*waits)).scalar_one()
    return count
