"""What modules do about events of others: each handler once in effect, whichever process runs it and however it ends.

Over a shared bus a handler is a group of that bus. In process there is nothing that outlives the process, so one process at a
time follows the outbox itself, each handler by its own cursor. Either way what a handler gave up becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection, delete, select

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.db import dead_letters, leases, outbox
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.dead_letters import KeptLetter
from nervio.db.dialects import dialect_of
from nervio.db.tables import cursors, event_handlers
from nervio.db.writes import Insert
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.ports.bus import EVERYTHING, Bus, DeadLetter, Event, Group
from nervio.ports.clock import Clock
from nervio.runtime.relay import BATCH, HANDLER_CURSORS, LARGEST_N, follow
from nervio.web.manifest import EventHandler

log = logging.getLogger(__name__)

LEASE = "handlers"
LEASE_SECONDS = 10.0
POLL_SECONDS = 0.5
MARK_SECONDS = 1.0
IDLE_MARK_SECONDS = 30.0
"""How often a cursor is moved that only events of no interest went past."""
LONGEST_REASON = 300
"""Of what an alert tells of an error; the letter keeps all of it."""
LOOK_SECONDS = 2.0
"""How often it is looked for letters that somebody wants tried again."""

HANDLED = Counter("nervio_events_handled_total", "Events that a handler took.", ("handler",))
FAILED = Counter("nervio_events_handler_failures_total", "Attempts of a handler that failed.", ("handler",))
DEAD = Counter("nervio_events_dead_total", "Events that a handler gave up.", ("handler",))
LAG = Gauge("nervio_events_handler_lag_positions", "Positions that a handler is behind the newest event.", ("handler",))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every handler works with."""

    database: Database
    bus: Bus
    clock: Clock
    process_id: str
    ctx_of: Callable[[str], Ctx]
    attempts: int
    seconds: float


class Work:
    """One handler at work: its events, its figures, its dead letters."""

    def __init__(self, handler: EventHandler, around: Surroundings) -> None:
        self.handler, self._around = handler, around
        self.name = handler.name
        self.cursor = HANDLER_CURSORS + handler.name
        self.begins_after = 0
        self.handled = 0
        self.group = Group(handler.name, self._bury, attempts=around.attempts, seconds=around.seconds)
        HANDLED.labels(self.name)
        FAILED.labels(self.name)
        DEAD.labels(self.name)

    async def handle(self, event: Event) -> None:
        """Handles what came after the handler began."""
        if event.position > self.begins_after:
            await self.try_once(event)

    async def try_once(self, event: Event) -> None:
        """One attempt. Commands of the context carry the receipt by which they happen once."""
        ctx = replace(self._around.ctx_of(event.tenant_id), receipt=(self.name, event.id))
        try:
            await self.handler.handle(ctx, event)
        except NervioError as error:
            if error.kind is not Kind.HALTED:
                FAILED.labels(self.name).inc()
            raise
        except Exception:
            FAILED.labels(self.name).inc()
            raise
        self.handled += 1
        HANDLED.labels(self.name).inc()

    def delivery(self) -> KeyedDelivery:
        """A delivery to this handler alone."""
        made = KeyedDelivery(self.group)
        for kind in self.handler.types:
            made.handlers[kind] = self.handle
        return made

    async def _bury(self, letter: DeadLetter) -> None:
        now = self._around.clock.now()
        await self._around.database.bookkeep("handlers", lambda c: dead_letters.keep(c, letter, now))
        DEAD.labels(self.name).inc()
        event = letter.event
        log.error(
            "event_dead",
            extra={
                "handler": self.name,
                "event_id": event.id,
                "event_type": event.type,
                "tenant_id": event.tenant_id,
                "attempts": letter.attempts,
                "reason": letter.reason,
            },
        )
        with contextlib.suppress(Exception):  # the letter is kept and the line is logged; nothing may hang on the alert
            await self._tell(letter)

    async def _tell(self, letter: DeadLetter) -> None:
        event = letter.event
        figures = {
            "handler": self.name,
            "type": event.type,
            "attempts": str(letter.attempts),
            "reason": letter.reason[:LONGEST_REASON],
        }
        alert = Alert(Severity.WARNING, "event_dead", "", "", f"dead:{self.name}", "/console/safety/events", figures)
        await safety.raise_alert(self._around.ctx_of(event.tenant_id), alert, f"{self.name}:{event.id}")


class Replays:
    """Tries dead letters again that somebody asked for. One process at a time does."""

    def __init__(self, works: Sequence[Work], around: Surroundings) -> None:
        self._around = around
        self._works = {work.name: work for work in works}
        self._deliveries: dict[str, KeyedDelivery] = {}
        self._under_way: set[str] = set()
        self._look_at = 0.0

    async def look(self) -> None:
        """Takes on what was asked for since."""
        now = self._around.clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for letter in await self._around.database.read(dead_letters.list_asked):
            work = self._works.get(letter.handler)
            if work is not None and letter.id not in self._under_way:
                self._take(work, letter)

    def _take(self, work: Work, letter: KeptLetter) -> None:
        async def again(event: Event) -> None:
            await work.try_once(event)
            await self._around.database.bookkeep(
                "handlers", lambda c: dead_letters.forget(c, event.tenant_id, letter.id)
            )

        # One delivery a letter: they were given up one by one, and none of them waits for another.
        delivery = self._deliveries[letter.id] = KeyedDelivery(work.group)
        delivery.handlers[letter.event.type] = again
        self._under_way.add(letter.id)
        delivery.put(letter.event, lambda: self._end(letter.id))

    def _end(self, letter_id: str) -> None:
        self._under_way.discard(letter_id)
        del self._deliveries[letter_id]

    async def close(self) -> None:
        """Gives up what is under way; it is still asked for."""
        for delivery in list(self._deliveries.values()):
            await delivery.close()
        self._deliveries.clear()
        self._under_way.clear()


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
        self._works = [Work(handler, around) for handler in handlers]
        self._replays = Replays(self._works, around)
        self._followers: list[_Follower] = []
        self._marked: dict[str, int] = {}
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
            owner = self._around.process_id
            await self._around.database.bookkeep("lease", lambda c: leases.release(c, LEASE, owner))
        await self._stop_following()
        self._token = None

    async def _register(self) -> None:
        """Notes where handlers begin that are run for the first time, and drops the cursors of those that are no more: a
        cursor that nobody moves would keep every event for ever."""
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
        self._ask_again_at = now + LEASE_SECONDS / 4
        if token == self._token:
            return
        await self._stop_following()
        await self._replays.close()
        self._token = token
        if token is not None and not around.bus.is_shared:
            places = await around.database.read(lambda c: [leases.read_cursor(c, work.cursor) for work in self._works])
            self._followers = [_Follower(work, place) for work, place in zip(self._works, places, strict=True)]

    async def _stop_following(self) -> None:
        for follower in self._followers:
            await follower.delivery.close()
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
        for one in self._followers:
            LAG.labels(one.work.name).set(max(0, newest - one.settled) if newest else 0)
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
        newest = await self._around.database.read(outbox.newest_event_position)
        moved = []
        for work in self._works:
            settled = self._around.bus.settled(work.name)
            if settled is None:
                continue
            # Of the last position that was delivered more might come, so a group that has everything is one behind.
            LAG.labels(work.name).set(max(0, newest - 1 - max(settled, work.begins_after - 1)))
            if settled > self._marked.get(work.name, work.begins_after):
                moved.append((work, settled))
        if not moved:
            return

        def write(connection: Connection) -> None:
            for work, position in moved:
                leases.advance_cursor(connection, work.cursor, position)

        await self._around.database.bookkeep("handlers", write)
        self._marked.update({work.name: position for work, position in moved})


def _read(connection: Connection, place: tuple[int, int], types: Sequence[str] | None) -> tuple[int, list[Event]]:
    # The newest position first: what is committed between the two reads is seen by the second, never lost.
    newest = outbox.last_position(connection)
    return newest, outbox.read_after(connection, *place, BATCH, types=types)


def _nothing() -> None:
    """The cursor is moved by the mark."""


async def run(handlers: Handlers, wake: asyncio.Event, stopping: asyncio.Event) -> None:
    """Runs them until the program ends."""
    await follow("handlers", handlers.run_once, wake, POLL_SECONDS, stopping)
    await handlers.close()
