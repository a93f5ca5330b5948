"""Forgets what has done its work: old answers to idempotency keys, events that every reader has had, old inbox marks.

There is no index by age, which every sale would pay for. Answers and marks are looked through in the order of their keys, a
slice at a time in a read of its own, and only slices that hold something old are touched; events go in the order of facts,
with a cursor of their own. Every transaction removes few rows and is followed by a pause, so that sales have their turn.

Age is counted back from the newest fact, not from the clock alone: an installation that was off for a year, or whose clock
jumps ahead when it starts, forgets nothing before it has gone on working.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, select, tuple_

from nervio.db import halt, leases
from nervio.db.context import Ctx
from nervio.db.dialects import dialect_of
from nervio.db.tables import commits, cursors, idempotency_keys, inbox, outbox
from nervio.db.writes import Row
from nervio.kernel.time import DAY, Instant

CURSOR = "pruned"
"""The position up to which events have been removed."""

ROUND_SECONDS = 1.0
REST_SECONDS = 3600.0
"""How long a table is left alone after it has been looked through."""
PAUSE_SECONDS = 0.05
ROWS_A_READ = 1_000
ROWS_A_TRANSACTION = 200
COMMITS_A_TRANSACTION = 200


Removal = Callable[[Connection], int]
"""Removes rows in the caller's transaction; how many."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far the installation has come: the newest fact there is, and the newest that every reader has passed."""

    now: Instant
    passed: int
    passed_at: Instant


def read_horizon(connection: Connection, now: Instant, readers: Collection[str]) -> Horizon:
    """`readers` are the cursors that must be there before any event counts as passed; all others count too."""
    c = commits.c
    numbered = select(c.recorded_at).where(c.position.is_not(None)).order_by(c.position.desc()).limit(1)
    newest = connection.execute(numbered).scalar() or 0
    found = connection.execute(select(cursors.c.name, cursors.c.position).where(cursors.c.name != CURSOR))
    positions: dict[str, int] = {row[0]: row[1] for row in found}
    passed = min(positions.values(), default=0) if positions.keys() >= set(readers) else 0
    passed_at = connection.execute(select(c.recorded_at).where(c.position == passed)).scalar() or 0
    return Horizon(min(now, newest), passed, min(now, newest, passed_at))


# -- events, in the order of facts -----------------------------------------------------------------------------------


def find_passed(connection: Connection, passed: int, before: Instant) -> tuple[int, int] | None:
    """The next positions (after the first, up to the second) whose events may go; None while there are none."""
    c, o = commits.c, outbox.c
    start = leases.read_cursor(connection, CURSOR)
    rows = connection.execute(
        select(c.position, c.recorded_at, func.count(o.n))
        .join_from(commits, outbox, o.commit_id == c.id, isouter=True)
        .where(c.position > start, c.position <= min(passed, start + COMMITS_A_TRANSACTION))
        .group_by(c.position, c.recorded_at)
        .order_by(c.position)
    )
    end, events = start, 0
    for position, recorded_at, count in rows:
        events += count
        # One commit may hold more than a transaction should remove; it goes alone then.
        if recorded_at >= before or (events > ROWS_A_TRANSACTION and end > start):
            break
        end = position
    return None if end == start else (start, end)


def remove_events(connection: Connection, span: tuple[int, int]) -> int:
    """Removes the events of the positions and remembers up to where; how many there were."""
    start, end = span
    c = commits.c
    gone = select(c.id).where(c.position > start, c.position <= end)
    removed = connection.execute(delete(outbox).where(outbox.c.commit_id.in_(gone))).rowcount
    leases.move_cursor(connection, CURSOR, end, token=0)
    return removed


# -- tables with an age, in the order of their keys ------------------------------------------------------------------


def read_slice(connection: Connection, table: Table, after: Row | None) -> list[Row]:
    """The next rows as (key columns, recorded_at)."""
    key = list(table.primary_key.columns)
    statement = select(*key, table.c.recorded_at).order_by(*key).limit(ROWS_A_READ)
    if after is not None:
        statement = statement.where(_at(table) > _values(table, "after"))
    return [tuple(row) for row in connection.execute(statement, _named("after", after))]


def remove_older(connection: Connection, table: Table, first: Row, last: Row, before: Instant) -> int:
    """Removes what was recorded before then of the rows from the first key to the last; how many there were."""
    statement = delete(table).where(
        _at(table) >= _values(table, "first"), _at(table) <= _values(table, "last"), table.c.recorded_at < before
    )
    return connection.execute(statement, {**_named("first", first), **_named("last", last)}).rowcount


def _at(table: Table) -> Any:
    return tuple_(*table.primary_key.columns)


def _values(table: Table, name: str) -> Any:
    return tuple_(*(bindparam(f"{name}_{n}", type_=c.type) for n, c in enumerate(table.primary_key.columns)))


def _named(name: str, key: Row | None) -> dict[str, object]:
    return {f"{name}_{n}": value for n, value in enumerate(key or ())}


class _Walk:
    """Goes through a table again and again, with a rest in between."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._after: Row | None = None
        self._rests_until = float("-inf")

    async def step(self, ctx: Ctx, before: Instant, remove: Callable[[Removal], Awaitable[None]]) -> bool:
        """Looks at one slice; whether there is more to look at now."""
        if ctx.clock.monotonic() < self._rests_until:
            return False
        rows = await ctx.database.read(partial(read_slice, table=self._table, after=self._after))
        for at in range(0, len(rows), ROWS_A_TRANSACTION):
            part = rows[at : at + ROWS_A_TRANSACTION]
            if any(row[-1] < before for row in part):
                first, last = part[0][:-1], part[-1][:-1]
                await remove(partial(remove_older, table=self._table, first=first, last=last, before=before))
        more = len(rows) == ROWS_A_READ
        self._after = rows[-1][:-1] if more else None
        if not more:
            self._rests_until = ctx.clock.monotonic() + REST_SECONDS
        return more


class Pruner:
    """Removes what is older than the days given. One process at a time runs it; two would do no harm.

    `readers` are the cursors of those who read the outbox. An inbox mark stays at least as long as its event can be
    delivered again: as long as a cursor may go back to it.
    """

    def __init__(self, answers_days: int, events_days: int, readers: Sequence[str]) -> None:
        self._answers_age, self._events_age = answers_days * DAY, events_days * DAY
        self._readers = readers
        self._answers, self._marks = _Walk(idempotency_keys), _Walk(inbox)

    async def run(self, ctx: Ctx) -> int:
        """One round of about a second; how many rows it removed. Raises `halted` during a stop."""
        removed = 0

        async def remove(work: Removal) -> None:
            nonlocal removed
            removed += await ctx.database.bookkeep("prune", partial(_unless_stopped, work, ctx.clock.now()))
            await asyncio.sleep(PAUSE_SECONDS)

        horizon = await ctx.database.read(partial(read_horizon, now=ctx.clock.now(), readers=self._readers))
        answers_before = horizon.now - self._answers_age
        events_before = horizon.passed_at - self._events_age
        ends_at = asyncio.get_running_loop().time() + ROUND_SECONDS
        more = True
        while more and asyncio.get_running_loop().time() < ends_at:
            span = await ctx.database.read(partial(find_passed, passed=horizon.passed, before=events_before))
            if span is not None:
                await remove(partial(remove_events, span=span))
            # Each has its turn in every round, so that none waits for another's backlog.
            more = await self._answers.step(ctx, answers_before, remove)
            more = await self._marks.step(ctx, events_before, remove) or more or span is not None
        return removed


def _unless_stopped(work: Removal, now: Instant, connection: Connection) -> int:
    dialect_of(connection).take_fence(connection, exclusive=False)
    for active in halt.read_active(connection, now):
        # A stop of anything is for looking at what happened, and what may be a trace of it stays where it is.
        if not active.is_drill:
            raise active.as_error()
    return work(connection)
