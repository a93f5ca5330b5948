"""Forgets what has done its work: old answers to idempotency keys, events that every reader has had, old inbox marks, and
what modules say is over.

There is no index by age, which every sale would pay for. Rows of tables with an age are looked through in the order of their keys, a
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

from sqlalchemy import Column, ColumnElement, Connection, Table, bindparam, delete, func, select, true, tuple_

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


@dataclass(frozen=True, slots=True)
class Aged:
    """Rows of a table that may go some days after they were over.

    `since` is the column that says when that was (NULL: it still stands), `is_over` what must hold of a row besides. `parts`
    are columns of another table that name a row by its key, in the key's order: those rows go with it.
    """

    table: Table
    days: int
    since: Column[Any]
    is_over: ColumnElement[bool] | None = None
    parts: tuple[Column[Any], ...] = ()


def read_slice(connection: Connection, aged: Aged, after: Row | None) -> list[Row]:
    """The next rows as (key columns, since)."""
    table = aged.table
    key = list(table.primary_key.columns)
    statement = select(*key, aged.since).order_by(*key).limit(ROWS_A_READ)
    if after is not None:
        statement = statement.where(_at(table) > _values(table, "after"))
    return [tuple(row) for row in connection.execute(statement, _named("after", after))]


def remove_older(connection: Connection, aged: Aged, first: Row, last: Row, before: Instant) -> int:
    """Removes what was over before then of the rows from the first key to the last; how many there were."""
    table, within = aged.table, {**_named("first", first), **_named("last", last)}
    may_go = (
        _at(table) >= _values(table, "first"),
        _at(table) <= _values(table, "last"),
        aged.since < before,
        true() if aged.is_over is None else aged.is_over,
    )
    if aged.parts:
        # Judged once and locked: a row that changes its mind in between must not be left without its parts.
        doomed = [tuple(row) for row in connection.execute(_locked(connection, table).where(*may_go), within)]
        if not doomed:
            return 0
        connection.execute(delete(aged.parts[0].table).where(tuple_(*aged.parts).in_(doomed)))
        return connection.execute(delete(table).where(_at(table).in_(doomed))).rowcount
    return connection.execute(delete(table).where(*may_go), within).rowcount


def _locked(connection: Connection, table: Table) -> Any:
    key = list(table.primary_key.columns)
    return dialect_of(connection).lock(select(*key).order_by(*key), table)


def _at(table: Table) -> Any:
    return tuple_(*table.primary_key.columns)


def _values(table: Table, name: str) -> Any:
    return tuple_(*(bindparam(f"{name}_{n}", type_=c.type) for n, c in enumerate(table.primary_key.columns)))


def _named(name: str, key: Row | None) -> dict[str, object]:
    return {f"{name}_{n}": value for n, value in enumerate(key or ())}


class _Walk:
    """Goes through a table again and again, with a rest in between."""

    def __init__(self, aged: Aged) -> None:
        self._aged = aged
        self._after: Row | None = None
        self._rests_until = float("-inf")

    async def step(self, ctx: Ctx, now: Instant, remove: Callable[[Removal], Awaitable[None]]) -> bool:
        """Looks at one slice; whether there is more to look at now. `now` is what the days are counted back from."""
        before = now - self._aged.days * DAY
        if ctx.clock.monotonic() < self._rests_until:
            return False
        rows = await ctx.database.read(partial(read_slice, aged=self._aged, after=self._after))
        for at in range(0, len(rows), ROWS_A_TRANSACTION):
            part = rows[at : at + ROWS_A_TRANSACTION]
            if any(row[-1] is not None and row[-1] < before for row in part):
                first, last = part[0][:-1], part[-1][:-1]
                await remove(partial(remove_older, aged=self._aged, first=first, last=last, before=before))
        more = len(rows) == ROWS_A_READ
        self._after = rows[-1][:-1] if more else None
        if not more:
            self._rests_until = ctx.clock.monotonic() + REST_SECONDS
        return more


class Pruner:
    """Removes what is older than the days given. One process at a time runs it; two would do no harm.

    `readers` are the cursors of those who read the outbox. An inbox mark stays at least as long as its event can be
    delivered again: as long as a cursor may go back to it. `others` are tables of modules, each with days of its own.
    """

    def __init__(
        self, answers_days: int, events_days: int, readers: Sequence[str], others: Sequence[Aged] = ()
    ) -> None:
        self._events_age = events_days * DAY
        self._readers = readers
        self._marks = _Walk(Aged(inbox, events_days, inbox.c.recorded_at))
        answers = Aged(idempotency_keys, answers_days, idempotency_keys.c.recorded_at)
        self._others = [_Walk(answers), *(_Walk(aged) for aged in others)]

    async def run(self, ctx: Ctx) -> int:
        """One round of about a second; how many rows it removed. Raises `halted` during a stop."""
        removed = 0

        async def remove(work: Removal) -> None:
            nonlocal removed
            removed += await ctx.database.bookkeep("prune", partial(_unless_stopped, work, ctx.clock.now()))
            await asyncio.sleep(PAUSE_SECONDS)

        horizon = await ctx.database.read(partial(read_horizon, now=ctx.clock.now(), readers=self._readers))
        events_before = horizon.passed_at - self._events_age
        ends_at = asyncio.get_running_loop().time() + ROUND_SECONDS
        more = True
        while more and asyncio.get_running_loop().time() < ends_at:
            span = await ctx.database.read(partial(find_passed, passed=horizon.passed, before=events_before))
            if span is not None:
                await remove(partial(remove_events, span=span))
            # Each has its turn in every round, so that none waits for another's backlog.
            more = await self._marks.step(ctx, horizon.passed_at, remove) or span is not None
            for walk in self._others:
                more = await walk.step(ctx, horizon.now, remove) or more
        return removed


def _unless_stopped(work: Removal, now: Instant, connection: Connection) -> int:
    dialect_of(connection).take_fence(connection, exclusive=False)
    for active in halt.read_active(connection, now):
        # A stop of anything is for looking at what happened, and what may be a trace of it stays where it is.
        if not active.is_drill:
            raise active.as_error()
    return work(connection)
