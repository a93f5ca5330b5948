"""Tasks as they stand, and their attempts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, literal_column, null, select, update

from nervio.db.keyset import read_page
from nervio.db.queue import IS_WAITING
from nervio.db.tables import queue_items
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.fleet.contracts import Attempt, AttemptEnding, Draft
from nervio.modules.fleet.models import fleet_attempts

QUEUE = "fleet"
"""The queue whose rows are tasks."""

_Q, _A = queue_items.c, fleet_attempts.c

_SHOWN = (
    _Q.id, _Q.kind, _Q.model, _Q.priority, _Q.state, _Q.payload, _Q.size, _Q.attempts, _Q.most_attempts, _Q.worker, _Q.result,
    _Q.usage, _Q.error, _Q.created_by, _Q.created_at, _Q.run_at, _Q.deadline_at, _Q.started_at, _Q.ended_at,
)  # fmt: skip

_BRIEF = tuple(null().label("result") if column is _Q.result else column for column in _SHOWN)


def list_tasks(
    connection: TenantConnection,
    *,
    state: str | None,
    kind: str | None,
    before: tuple[Instant, str] | None,
    limit: int,
    backwards: bool = False,
    results: bool = True,
) -> Sequence[Any]:
    """Rows of tasks, the newest first; `before` is (created_at, id) of the last one seen, or of the first when `backwards`.
    Without `results` they have none, which may be most of their weight."""
    statement = select(*(_SHOWN if results else _BRIEF)).where(_Q.tenant_id == connection.tenant_id, _Q.queue == QUEUE)
    if state is not None:
        statement = statement.where(_Q.state == state)
    if kind is not None:
        statement = statement.where(_Q.kind == kind)
    return read_page(connection, statement, (_Q.created_at, _Q.id), before, limit, descending=True, backwards=backwards)


def find_task(connection: TenantConnection, task_id: str) -> ShownTask | None:
    """The row of one task; None where there is none."""
    rows = connection.look_up(_one(), {"task_id": task_id})
    return ShownTask(*rows[0]) if rows else None


class ShownTask(NamedTuple):
    """A task as it is shown; the columns of `_SHOWN` by name."""

    id: str
    kind: str
    model: str
    priority: int
    state: str
    payload: str
    size: int
    attempts: int
    most_attempts: int
    worker: str | None
    result: str | None
    usage: str | None
    error: str | None
    created_by: str
    created_at: Instant
    run_at: Instant
    deadline_at: Instant | None
    started_at: Instant | None
    ended_at: Instant | None


@cache
def _one() -> Select[Any]:
    return select(*_SHOWN).where(
        _Q.tenant_id == bindparam("tenant_id"), _Q.id == bindparam("task_id"), _Q.queue == QUEUE
    )


def find_progress(connection: TenantConnection, task_id: str) -> tuple[str, str | None] | None:
    """(state, what was written down of an answer that is being made); None where there is no such task."""
    rows = connection.look_up(_progress(), {"task_id": task_id})
    return (rows[0][0], rows[0][1]) if rows else None


@cache
def _progress() -> Select[Any]:
    wanted = (_Q.tenant_id == bindparam("tenant_id"), _Q.id == bindparam("task_id"), _Q.queue == QUEUE)
    return select(_Q.state, _Q.checkpoint).where(*wanted)


def write_drafts(connection: Connection, drafts: Mapping[tuple[str, str], Draft]) -> None:
    """Writes down what there is of answers, for other processes. Of a task that is no longer this attempt's nothing is."""
    for (tenant_id, task_id), draft in sorted(drafts.items()):
        connection.execute(
            update(queue_items)
            .where(_Q.tenant_id == tenant_id, _Q.id == task_id, _Q.token == draft.token, _Q.state == "running")
            .values(checkpoint=json.dumps({"token": draft.token, "text": draft.text}))
        )


def list_attempts(connection: TenantConnection, task_id: str) -> list[Attempt]:
    """The attempts at a task that have ended, the first one first."""
    return [
        Attempt(row[0], row[1], row[2], AttemptEnding(row[3]), row[4], row[5], row[6])
        for row in connection.look_up(_attempts(), {"task_id": task_id})
    ]


@cache
def _attempts() -> Select[Any]:
    attempts = select(_A.token, _A.n, _A.worker, _A.ending, _A.error, _A.started_at, _A.ended_at)
    return attempts.where(_A.tenant_id == bindparam("tenant_id"), _A.task_id == bindparam("task_id")).order_by(_A.token)


def count_waiting(connection: TenantConnection) -> int:
    """Tasks of the tenant that wait."""
    count: int = connection.look_up(_count_waiting(), {})[0][0]
    return count


@cache
def _count_waiting() -> Select[Any]:
    # In the order of the index of what waits, which SQLite takes for the sake of the order; else it goes through all rows of the
    # tenant. The limit keeps it from leaving the order out.
    waits = (_Q.queue == QUEUE, _Q.tenant_id == bindparam("tenant_id"), IS_WAITING)
    found = select(_Q.id).where(*waits).order_by(_Q.priority, _Q.run_at, _Q.id).limit(literal_column("1000000000"))
    return select(func.count()).select_from(found.subquery())


def list_done_since(connection: TenantConnection, since: Instant, limit: int) -> list[tuple[Instant, Instant]]:
    """(submitted, ended) of tasks that were done after a time, the newest first."""
    statement = (
        select(_A.submitted_at, _A.ended_at)
        .where(_A.tenant_id == connection.tenant_id, _A.ended_at > since, _A.ending == AttemptEnding.DONE.value)
        .order_by(_A.ended_at.desc())
        .limit(limit)
    )
    return [(row[0], row[1]) for row in connection.execute(statement)]


def count_done_since(connection: TenantConnection, since: Instant) -> int:
    """Tasks that were done after a time."""
    statement = select(func.count()).where(
        _A.tenant_id == connection.tenant_id, _A.ended_at > since, _A.ending == AttemptEnding.DONE.value
    )
    count: int = connection.execute(statement).scalar_one()
    return count


def find_last_error(connection: TenantConnection) -> str | None:
    """What the newest attempt that failed said."""
    statement = (
        select(_A.error)
        .where(_A.tenant_id == connection.tenant_id, _A.error.is_not(None))
        .order_by(_A.ended_at.desc())
        .limit(1)
    )
    error: str | None = connection.execute(statement).scalar()
    return error
