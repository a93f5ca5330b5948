"""Durable work in our own database: what is to be done survives everything, and its result is taken exactly once.

Executing is at least once: whoever dies in the middle has done some of it. Accepting is exactly once, because a result is
written only by `UPDATE` of a locked row that is still running under the token of the claim that it belongs to. A module's
operations move rows through the batch's `QueueBook`; which rows to move is found with the queries below, which lock nothing.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from nervio.db.batch import Batch, Book
from nervio.db.dialects import Dialect, look_up
from nervio.db.queue_moves import State, Work
from nervio.db.tables import leases, queue_items
from nervio.db.writes import Insert, Row, Update
from nervio.kernel.time import Instant

_Q = queue_items.c
_KEY = ("tenant_id", "id")
_COLUMNS = tuple(field.name for field in fields(Work))
_CHANGED = (
    "state", "run_at", "attempts", "token", "owner", "worker", "checkpoint", "result", "usage", "error", "started_at",
    "ended_at",
)  # fmt: skip
_WRITTEN = {
    (State.WAITING, State.RUNNING): ("state", "attempts", "token", "owner", "worker", "started_at"),
    (State.RUNNING, State.RUNNING): ("attempts", "checkpoint"),
    (State.RUNNING, State.DONE): ("state", "owner", "result", "usage", "error", "ended_at"),
}
"""What the moves of nearly all work change. Less to write, and above all fewer indexes to look after."""
PRIORITIES = 3
"""From 0, the most urgent, to 2."""
MOST_RECOVERED = 500
"""Of each kind of loss in one look; the rest is found by the next."""
OWNER_LEASE = "queue:"
"""What the lease of an owner is named by: `queue:<owner>`. Who let it run out has nothing any more."""

# In so many words, not as parameters: SQLite takes a part of an index only where it sees that the part is meant.
IS_WAITING = _Q.state == literal_column("'waiting'")
IS_RUNNING = _Q.state == literal_column("'running'")

WorkKey = tuple[str, str]
"""(tenant_id, id)"""


class QueueBook(Book):
    """Work of a batch, locked, moved in memory, flushed together. `want` while resolving; add and move while deciding."""

    lock_name = "queue"

    def __init__(self) -> None:
        self._wanted: set[WorkKey] = set()
        self._works: dict[WorkKey, Work] = {}
        self._before: dict[WorkKey, State] = {}
        self._added: dict[WorkKey, Work] = {}
        self._changed: Counter[WorkKey] = Counter()
        self._undo: list[Callable[[], object]] = []

    def want(self, keys: Iterable[WorkKey]) -> None:
        """Declares work that will be moved."""
        self._wanted.update(keys)

    def open(self, batch: Batch) -> None:
        missing = sorted(self._wanted - self._works.keys())
        if missing:
            parameters = batch.dialect.rows_parameters("k", [_Q.tenant_id, _Q.id], missing)
            for row in look_up(batch.connection, _locked(batch.dialect), parameters):
                work = self._works[row[0], row[1]] = _work(row)
                self._before[row[0], row[1]] = work.state

    def add(self, work: Work) -> None:
        """New work."""
        key = work.tenant_id, work.id
        self._added[key] = work
        self._undo.append(functools.partial(self._added.pop, key))

    def peek(self, key: WorkKey) -> Work | None:
        """Work that was wanted, only to be looked at; None where there is none."""
        return self._works.get(key)

    def find(self, key: WorkKey) -> Work | None:
        """Work that was wanted or added, to be moved; None where there is none. What it becomes is written."""
        if key in self._added:
            return self._added[key]
        work = self._works.get(key)
        if work is not None:
            self._changed[key] += 1
            self._undo.append(functools.partial(self._put_back, key, _row(work)))
        return work

    def _put_back(self, key: WorkKey, before: Row) -> None:
        self._works[key] = Work(*before)

    def find_in(self, queue: str, key: WorkKey) -> Work | None:
        """The same, of one queue; None also where the id is other work's, which is left alone."""
        work = self.peek(key)
        return None if work is None or work.queue != queue else self.find(key)

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int | None) -> None:
        while len(self._undo) > (mark or 0):
            self._undo.pop()()

    def flush(self, batch: Batch) -> None:
        batch.writes.append(Insert(queue_items, _COLUMNS, [_row(work) for work in self._added.values()]))
        for columns, rows in self._changes().items():
            batch.writes.append(Update(queue_items, _KEY, columns, rows))

    def _changes(self) -> dict[tuple[str, ...], list[Row]]:
        """Rows by the columns that are to be written: all that move from one state to another in the same way."""
        changes: dict[tuple[str, ...], list[Row]] = {}
        for key in sorted(self._changed):
            work = self._works[key]
            # Twice moved, it may have come where it is by a way that changed more.
            once = self._changed[key] == 1
            columns = _WRITTEN.get((self._before[key], work.state), _CHANGED) if once else _CHANGED
            changes.setdefault(columns, []).append((*key, *_values(columns)(work)))
        return changes


@cache
def _locked(dialect: Dialect) -> Select[Any]:
    keys = dialect.rows_table("k", [_Q.tenant_id, _Q.id])
    wanted = (_Q.tenant_id == keys.c.tenant_id) & (_Q.id == keys.c.id)
    rows = select(*(queue_items.c[name] for name in _COLUMNS)).join_from(keys, queue_items, wanted)
    return dialect.lock(rows.order_by(_Q.tenant_id, _Q.id), queue_items)


def _work(row: Row) -> Work:
    work = Work(*row)
    work.state = State(work.state)
    return work


# `dataclasses.astuple` copies every value deeply: ten times the cost of all the rest of a row.
_row: Callable[[Work], Row] = attrgetter(*_COLUMNS)
_values = cache(lambda columns: attrgetter(*columns))


# -- looking for work, without locks ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """Work that may be claimed now."""

    tenant_id: str
    id: str
    kind: str
    model: str
    priority: int
    size: int
    created_at: Instant
    run_at: Instant
    deadline_at: Instant | None


def list_waiting(connection: Connection, queue: str, now: Instant) -> dict[str, list[int]]:
    """Tenants with work that waits and is due, and the priorities that it has; found by leaping through the index from tenant to tenant:
    however much one of them has waiting, it costs a few steps."""
    found: dict[str, list[int]] = {}
    for tenant_id, priority in connection.execute(_waiting(), {"queue": queue, "now": now}):
        found.setdefault(tenant_id, []).append(priority)
    return found


@cache
def _waiting() -> Select[Any]:
    is_waiting = (_Q.queue == bindparam("queue"), IS_WAITING)
    tenants = _leaps("tenants", _Q.tenant_id, is_waiting)
    priorities = [literal(n).label("priority") for n in range(PRIORITIES)]
    each = union_all(*(select(priority) for priority in priorities)).subquery("priorities")
    # The first one in the order of the index, not whether there is one: for that SQLite would look through the tenant's rows.
    first = select(_Q.run_at).where(*is_waiting, _Q.tenant_id == tenants.c.value, _Q.priority == each.c.priority)
    first = first.order_by(_Q.run_at).limit(1).correlate(tenants, each)
    pairs = select(tenants.c.value, each.c.priority).join_from(tenants, each, true())
    present = (tenants.c.value.is_not(None), first.scalar_subquery() <= bindparam("now"))
    return pairs.where(*present).order_by(tenants.c.value, each.c.priority)


def _leaps(name: str, column: ColumnElement[str], condition: Sequence[ColumnElement[bool]]) -> CTE:
    """The values of a column of the queue, each once, with one step of an index for each; the last is NULL."""
    least = select(column).where(*condition).order_by(column).limit(1)
    leap = select(least.scalar_subquery().label("value")).cte(name, recursive=True)
    following = least.where(column > leap.c.value).correlate(leap).scalar_subquery()
    return leap.union_all(select(following).where(leap.c.value.is_not(None)))


def list_due(
    connection: Connection,
    queue: str,
    tenant_id: str,
    served: Mapping[str, Collection[str]],
    now: Instant,
    priority: int,
    limit: int,
) -> list[Due]:
    """A tenant's work of one priority that may be claimed now, the longest due first. `served`: the kinds that somebody does,
    each with the models it is done with; work that asks for another would keep what can be done from being found."""
    statement = _due(tuple((kind, tuple(sorted(served[kind]))) for kind in sorted(served)))
    parameters = {"queue": queue, "tenant_id": tenant_id, "priority": priority, "now": now, "most": limit}
    return [Due(*row) for row in connection.execute(statement, parameters)]


@lru_cache(maxsize=64)
def _due(served: tuple[tuple[str, tuple[str, ...]], ...]) -> Select[Any]:
    # Made once for each set of what is served: putting it together takes longer than asking.
    columns = (_Q.tenant_id, _Q.id, _Q.kind, _Q.model, _Q.priority, _Q.size, _Q.created_at, _Q.run_at, _Q.deadline_at)
    return (
        select(*columns)
        .where(
            _Q.queue == bindparam("queue"),
            _Q.tenant_id == bindparam("tenant_id"),
            IS_WAITING,
            _Q.priority == bindparam("priority"),
            _Q.run_at <= bindparam("now"),
            or_(*(and_(_Q.kind == kind, _Q.model.in_(["", *models])) for kind, models in served)),
        )
        .order_by(_Q.run_at, _Q.id)
        .limit(bindparam("most"))
    )


def find_next_due(connection: Connection, queue: str, after: Instant) -> Instant | None:
    """When the next piece of work is due that is not due yet."""
    return connection.execute(
        select(func.min(_Q.run_at)).where(_Q.queue == queue, IS_WAITING, _Q.run_at > after)
    ).scalar()


def list_overdue(connection: Connection, queue: str, now: Instant, limit: int) -> list[WorkKey]:
    """Work that has not ended although its deadline is over."""
    statement = select(_Q.tenant_id, _Q.id).where(
        _Q.queue == queue,
        _Q.ended_at.is_(None),
        _Q.deadline_at <= now,
    )
    return [(row[0], row[1]) for row in connection.execute(statement.limit(limit))]


def list_orphans(connection: Connection, queue: str, now: Instant, limit: int) -> list[tuple[str, str, int]]:
    """(tenant, id, token) of work whose owner let its lease run out, or never had one."""
    alive = select(leases.c.name).where(leases.c.name == OWNER_LEASE + _Q.owner, leases.c.expires_at > now)
    statement = select(_Q.tenant_id, _Q.id, _Q.token).where(_Q.queue == queue, IS_RUNNING, ~alive.exists()).limit(limit)
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]


def list_owned(connection: Connection, queue: str, owner: str) -> dict[WorkKey, int]:
    """Work that an owner has: its key → the token of the claim."""
    statement = select(_Q.tenant_id, _Q.id, _Q.token).where(_Q.queue == queue, IS_RUNNING, _Q.owner == owner)
    return {(row[0], row[1]): row[2] for row in connection.execute(statement)}


@dataclass(frozen=True, slots=True)
class Losses:
    """`orphans`: tenant → (id, token) of work whose owner let its lease run out; `overdue`: tenant → work whose deadline is over;
    `owned`: what the owner who asks has by the database, with the tokens."""

    orphans: dict[str, list[tuple[str, int]]]
    overdue: dict[str, list[str]]
    owned: dict[WorkKey, int]


def find_losses(connection: Connection, queue: str, owner: str, now: Instant) -> Losses:
    """What has got lost, and what is still the owner's: one look without locks, so that what is done about it looks again."""
    orphans: dict[str, list[tuple[str, int]]] = {}
    for tenant_id, work_id, token in list_orphans(connection, queue, now, MOST_RECOVERED):
        orphans.setdefault(tenant_id, []).append((work_id, token))
    overdue: dict[str, list[str]] = {}
    for tenant_id, work_id in list_overdue(connection, queue, now, MOST_RECOVERED):
        overdue.setdefault(tenant_id, []).append(work_id)
    return Losses(orphans, overdue, list_owned(connection, queue, owner))


def count_running(connection: Connection, queue: str) -> dict[str, int]:
    """How much of each tenant's work runs now, by all owners."""
    statement = select(_Q.tenant_id, func.count()).where(_Q.queue == queue, IS_RUNNING).group_by(_Q.tenant_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


def read_works(connection: Connection, keys: Sequence[WorkKey]) -> list[Work]:
    """Work by its keys, as it stands; what does not exist is left out."""
    wanted = or_(*(and_(_Q.tenant_id == tenant_id, _Q.id == work_id) for tenant_id, work_id in keys))
    statement = select(*(queue_items.c[name] for name in _COLUMNS)).where(wanted)
    return [_work(tuple(row)) for row in connection.execute(statement)] if keys else []
