"""What modules do about events of others: each handler once in effect, whichever process runs it and however it ends.

Over a shared bus a handler is a group of that bus. In process there is nothing that outlives the process, so one process at a
time follows the outbox itself, each handler by its own cursor. Either way what a handler gave up becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from prometheus_client import Gauge
from sqlalchemy import Connection, delete, select

from nervio.db import leases, outbox
from nervio.db.dialects import dialect_of
from nervio.db.tables import cursors, event_handlers
from nervio.db.writes import Insert
from nervio.kernel.errors import NervioError
from nervio.ports.bus import EVERYTHING, Event
from nervio.runtime.relay import BATCH, HANDLER_CURSORS, LARGEST_N, follow
from nervio.runtime.replays import Replays
from nervio.runtime.trials import ProcessTrials
from nervio.runtime.work import Surroundings, Work
from nervio.web.manifest import EventHandler

log = logging.getLogger(__name__)

LEASE = "handlers"
LEASE_SECONDS = 10.0
POLL_SECONDS = 0.5
MARK_SECONDS = 1.0
IDLE_MARK_SECONDS = 30.0
"""How often a cursor is moved that only events of no interest went past."""
LOOK_SECONDS = 2.0
"""How often it is looked how far the groups of a shared bus are."""

LAG = Gauge("nervio_events_handler_lag_positions", "Positions that a handler is behind the newest event.", ("handler",))


class _Follower:
    """Where one handler is in the outbox."""

    def __init__(self, work: Work, position: int) -> None:
        self.work, self.delivery = work, work.delivery()
        self.place = (position, LARGEST_N)
        self.marked, self.handled = position, work.handled
        self.marked_at = float("-inf")

    @property
    def settled(self) -> int:
        """The position up to which everything is settled."""
        if not self.delivery.is_idle:
            return max(self.marked, self.delivery.settled)
        position, n = self.place
        return position if n == LARGEST_N else position - 1


class Handlers:
    """Runs the handlers of all modules in this process, as far as it is this process's turn."""

    def __init__(self, handlers: Sequence[EventHandler], around: Surroundings) -> None:
        self._around = around
        self._trials = ProcessTrials(around.database, around.clock, around.process_id)
        self._works = [Work(handler, around, self._trials) for handler in handlers]
        self._replays = Replays(self._works, around, self._trials)
        self._followers: list[_Follower] = []
        self._token: int | None = None
        self._ask_again_at = 0.0
        self._mark_at = 0.0
        self._is_registered = False

    async def run_once(self) -> bool:
        """A round: takes on new events (in process), marks what is settled, tries letters again. True when there is more."""
        if not self._works:
            return False
        if not self._is_registered:
            await self._register()
        await self._lead()
        await self._trials.flush()
        if self._token is not None:
            await self._replays.look()
        if self._around.bus.is_shared:
            await self._mark_groups()
            return False
        return await self._follow() if self._token is not None else False

    async def close(self) -> None:
        """Gives up what is under way, marks what is done, and lets another process go on at once. A shared bus gives back by
        itself what its groups had."""
        await self._replays.close()
        if self._token is None:
            return
        with contextlib.suppress(Exception):  # the lease runs out by itself
            for follower in self._followers:
                follower.marked_at = float("-inf")
            await self._mark(self._token)
        for follower in self._followers:
            await follower.delivery.end()
        self._followers, self._token = [], None
        with contextlib.suppress(Exception):
            owner = self._around.process_id
            await self._around.database.bookkeep("lease", lambda c: leases.release(c, LEASE, owner))

    async def _register(self) -> None:
        """Notes where handlers begin that are run for the first time, and drops the cursors of those that are no more: a
        cursor that nobody moves would keep every event for ever, and so would a group of the bus that nobody reads for."""
        now = self._around.clock.now()
        names = [work.name for work in self._works]

        def write(connection: Connection) -> dict[str, int]:
            newest = outbox.last_position(connection)
            known = {row[0] for row in connection.execute(select(event_handlers.c.name))}
            placed = {row[0] for row in connection.execute(select(cursors.c.name))}
            fresh = [name for name in names if name not in known]
            write = dialect_of(connection).insert_missing
            if fresh:
                columns = ("name", "begins_after", "recorded_at")
                write(connection, Insert(event_handlers, columns, [(name, newest, now) for name in fresh]))
            found = {row[0]: row[1] for row in connection.execute(select(event_handlers))}
            missing = [HANDLER_CURSORS + name for name in names if HANDLER_CURSORS + name not in placed]
            if missing:
                rows = [(name, found[name.removeprefix(HANDLER_CURSORS)], 0) for name in missing]
                write(connection, Insert(cursors, ("name", "position", "token"), rows))
            gone = [
                name
                for name in placed
                if name.startswith(HANDLER_CURSORS) and name.removeprefix(HANDLER_CURSORS) not in names
            ]
            if gone:
                connection.execute(delete(cursors).where(cursors.c.name.in_(gone)))
            return found

        begins = await self._around.database.bookkeep("handlers", write)
        self._around.bus.retire(begins.keys() - set(names))
        for work in self._works:
            work.begins_after = begins[work.name]
            if self._around.bus.is_shared:
                for kind in work.handler.types:
                    self._around.bus.subscribe(kind, work.handle, work.group)
        self._is_registered = True

    async def _lead(self) -> None:
        around, now = self._around, self._around.clock.monotonic()
        if now < self._ask_again_at:
            return
        token = await around.database.bookkeep(
            "lease", lambda c: leases.acquire(c, LEASE, around.process_id, around.clock.now(), LEASE_SECONDS)
        )
        if token != self._token:
            self._token = None
            await self._stop_following()
            await self._replays.close()
            if token is not None and not around.bus.is_shared:
                places = await around.database.read(self._read_places)
                followers = [_Follower(work, places.get(work.name, 0)) for work in self._works]
                for follower in followers:
                    await follower.delivery.take_over()
                self._followers = followers
            # Last, so that what failed before is tried again at once: who leads without followers follows nothing for ever.
            self._token = token
        self._ask_again_at = now + LEASE_SECONDS / 4

    def _read_places(self, connection: Connection) -> dict[str, int]:
        of = {work.cursor: work.name for work in self._works}
        found = connection.execute(select(cursors.c.name, cursors.c.position).where(cursors.c.name.in_(of)))
        return {of[row[0]]: row[1] for row in found}

    async def _stop_following(self) -> None:
        for follower in self._followers:
            await follower.delivery.close()
            LAG.labels(follower.work.name).set(0)  # whoever leads now tells it
        self._followers = []

    # -- in process: from the outbox ----------------------------------------------------------------------------------

    async def _follow(self) -> bool:
        more = False
        # One that has fallen far behind, or waits for a stop to end, reads by itself; the others stand at one place.
        ready = sorted((one for one in self._followers if one.delivery.free >= BATCH), key=lambda one: one.place)
        newest = 0
        for place, group in groupby(ready, key=lambda one: one.place):
            together = list(group)
            wanted = sorted({kind for one in together for kind in one.work.handler.types})
            types = None if EVERYTHING in wanted else wanted
            newest, events = await self._around.database.read(partial(_read, place=place, types=types))
            full = len(events) == BATCH
            more = more or full
            end = (events[-1].position, events[-1].n) if full else max((newest, LARGEST_N), place)
            for one in together:
                for event in events:
                    one.delivery.put(event, _nothing)
                one.place = end
        for one in self._followers if ready else ():
            LAG.labels(one.work.name).set(max(0, newest - one.settled))
        assert self._token is not None
        await self._mark(self._token)
        return more

    async def _mark(self, token: int) -> None:
        """Writes down how far each handler is, seldom: on SQLite every write is a sale's rival, and what a crash brings again
        is in the inbox."""
        now, moved = self._around.clock.monotonic(), []
        for one in self._followers:
            settled = one.settled
            wait = MARK_SECONDS if one.work.handled > one.handled else IDLE_MARK_SECONDS
            if settled > one.marked and now >= one.marked_at + wait:
                moved.append((one, settled))
        if not moved:
            return

        def write(connection: Connection) -> None:
            for one, position in moved:
                leases.move_cursor(connection, one.work.cursor, position, token)

        try:
            await self._around.database.bookkeep("handlers", write)
        except NervioError:
            self._ask_again_at = 0.0  # somebody else leads; what is done twice finds its receipts
            raise
        for one, position in moved:
            one.marked, one.marked_at, one.handled = position, now, one.work.handled

    # -- over a shared bus: what its groups have settled --------------------------------------------------------------

    async def _mark_groups(self) -> None:
        now = self._around.clock.monotonic()
        if now < self._mark_at:
            return
        self._mark_at = now + LOOK_SECONDS
        newest, noted = await self._around.database.read(self._read_noted)
        moved = []
        for work in self._works:
            settled = self._around.bus.settled(work.name)
            if settled is None:
                LAG.labels(work.name).set(0)  # whoever reads for it tells it
                continue
            # Who has just begun to read for a group knows nothing settled yet; those before noted how far it was. And of the
            # last position that was delivered more might come, so a group that has everything is one behind.
            known = max(settled, noted.get(work.name, 0), work.begins_after - 1)
            LAG.labels(work.name).set(max(0, newest - 1 - known))
            if settled > noted.get(work.name, settled):
                moved.append((work, settled))
        if not moved:
            return

        def write(connection: Connection) -> None:
            for work, position in moved:
                leases.advance_cursor(connection, work.cursor, position)

        await self._around.database.bookkeep("handlers", write)

    def _read_noted(self, connection: Connection) -> tuple[int, dict[str, int]]:
        return outbox.newest_event_position(connection), self._read_places(connection)


def _read(connection: Connection, place: tuple[int, int], types: Sequence[str] | None) -> tuple[int, list[Event]]:
    # The newest position first: what is committed between the two reads is seen by the second, never lost.
    newest = outbox.last_position(connection)
    return newest, outbox.read_after(connection, *place, BATCH, types=types)


def _nothing() -> None:
    """The cursor is moved by the mark."""


__all__ = ["Handlers", "Surroundings", "run"]


async def run(handlers: Handlers, wake: asyncio.Event, stopping: asyncio.Event) -> None:
    """Runs them until the program ends."""
    await follow("handlers", handlers.run_once, wake, POLL_SECONDS, stopping)
    await handlers.close()
