"""Following the order of facts: the sequencer gives commits their positions, the relay takes events out to the bus."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection

from nervio.db import leases, outbox
from nervio.db.database import Database
from nervio.db.dialects import dialect_of
from nervio.db.sequencer import number_commits
from nervio.kernel.errors import NervioError
from nervio.ports.bus import Bus, BusChanged, Event
from nervio.ports.clock import Clock

log = logging.getLogger(__name__)

LEASE = "relay"
CURSOR = "relay"
HANDLER_CURSORS = "handler:"
"""What the names of the cursors of event handlers begin with."""
LEASE_SECONDS = 10.0
BATCH = 500
SHARED_BATCH = 2_000
"""Publishing to a server costs round trips, so more travel in each."""
LARGEST_N = 2**31 - 1
SEQUENCE_POLL_SECONDS = 0.2
MARK_SECONDS = 1.0
"""How often the place reached is written down. A mark is a durable write, and on SQLite every write is a sale's rival;
what a crash makes the relay publish again is caught by the inboxes."""
SPACING_SECONDS = 0.1
"""Shortest time between two rounds, so that a busy till is not followed commit by commit."""
RELAY_POLL_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0

EVENTS = Counter("nervio_events_published_total", "Events handed to the bus.", ("type",))
EVENTS_FAILED = Counter("nervio_events_failed_total", "Attempts to hand events to the bus that failed.")
LAG = Gauge("nervio_events_lag_positions", "Positions between the newest commit and the last one relayed.")


async def follow(
    name: str, work: Callable[[], Awaitable[bool]], wake: asyncio.Event, poll_seconds: float, stopping: asyncio.Event
) -> None:
    """Does the work when woken, and at least every `poll_seconds`; at once again while it returns True.

    A failure is logged and tried again after a pause that doubles. Ends when `stopping` is set, between two rounds.
    """
    pause = 0.0
    while not stopping.is_set():
        wake.clear()
        try:
            more = await work()
            pause = 0.0
        except Exception as error:  # noqa: BLE001 (whatever it was, facts wait in the outbox and nothing is lost)
            pause = min(max(FIRST_PAUSE_SECONDS, pause * 2), LONGEST_PAUSE_SECONDS)
            log.warning(
                "following_failed",
                extra={"follower": name, "error": str(error) or type(error).__name__, "again_in_seconds": pause},
            )
            more = False
        await wait_any(SPACING_SECONDS, stopping)
        if not more:
            if pause:
                # Not all at the same moment, where many processes lost the same server.
                await wait_any(pause * random.uniform(0.5, 1.0), stopping)  # noqa: S311 (no secret)
            else:
                await wait_any(poll_seconds, stopping, wake)


async def wait_any(seconds: float, *events: asyncio.Event) -> None:
    """Waits until one of the events is set, at most so long."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


class Sequencer:
    """Numbers commits where the database does not do so by itself. Any number of processes may run one."""

    def __init__(self, database: Database, numbered: Callable[[], None]) -> None:
        self._database, self._numbered = database, numbered

    async def is_needed(self) -> bool:
        """Whether commits of this database wait for a sequencer."""
        return not await self._database.read(lambda connection: dialect_of(connection).numbers_commits_inline)

    async def run_once(self) -> bool:
        """Numbers what there is; True when there may be more."""
        count = await self._database.bookkeep("sequence", number_commits)
        if count:
            self._numbered()
        return count > 0


class Relay:
    """Hands events to the bus in order of position. One process at a time leads and remembers up to where; what it
    delivers after taking over begins there, so nothing is left out.

    On the bus of one process, events still reach it while another process leads, from now on and without a memory: live
    streams hang on it. `may_lead` False only does that. A shared bus is fed by the leader alone, who after each failure asks
    where the transport ends: what it lost is published again.
    """

    def __init__(self, database: Database, bus: Bus, clock: Clock, owner: str, *, may_lead: bool = True) -> None:
        self._database, self._bus, self._clock, self._owner = database, bus, clock, owner
        self._may_lead = may_lead
        self._token: int | None = None
        self._ask_again_at = 0.0
        self._position: int | None = None
        self._n = LARGEST_N
        self._marked = 0
        self._mark_at = 0.0
        self._is_unsure = True

    async def run_once(self) -> bool:
        """Relays a batch; True when there may be more."""
        if self._may_lead:
            await self._lead()
        if self._bus.is_shared and self._token is None:
            LAG.set(0)  # whoever leads tells it
            return False
        if self._position is None:
            self._position = await self._database.read(outbox.last_position)
        if self._bus.is_shared and self._is_unsure:
            await self._find_end()
        position, n = self._position, self._n
        heard, batch = self._bus.is_heard(), SHARED_BATCH if self._bus.is_shared else BATCH

        def query(connection: Connection) -> tuple[int, list[Event]]:
            # The newest position first: what is committed between the two reads is seen by the second, never lost.
            newest = outbox.last_position(connection)
            return newest, outbox.read_after(connection, position, n, batch) if heard else []

        newest, events = await self._database.read(query)
        if not await self._publish(events):
            return True
        full = len(events) == batch
        if not full and newest >= self._position:
            self._position, self._n = newest, LARGEST_N
        LAG.set(max(0, newest - self._position))
        if self._token is not None and self._clock.monotonic() >= self._mark_at:
            await self._mark(self._token)
        return full

    async def _publish(self, events: Sequence[Event]) -> bool:
        """Hands over the events; False where the transport has to be looked at first."""
        try:
            if not self._bus.is_shared:
                for event in events:
                    await self._bus.publish(event.type, event)
                    self._passed(event)
            elif events:
                await self._bus.publish_all(events)
                for event in events:
                    self._passed(event)
        except BusChanged as changed:
            log.warning("bus_changed", extra={"detail": str(changed)})
            self._is_unsure = True
            return False
        except Exception:
            EVENTS_FAILED.inc()
            self._is_unsure = True
            raise
        return True

    def _passed(self, event: Event) -> None:
        EVENTS.labels(event.type).inc()
        self._position, self._n = event.position, event.n

    async def _find_end(self) -> None:
        """Goes back to where the transport ends, if that is before our place: what came after was lost there."""
        assert self._position is not None
        newest = await self._bus.newest()
        if newest is None:
            # Empty: all that some handler may still need. What others had is in their inboxes.
            needed = await self._database.read(lambda c: leases.lowest_cursor(c, HANDLER_CURSORS))
            place = (self._position if needed is None else needed, LARGEST_N)
        else:
            end = newest
            found = await self._database.read(lambda c: outbox.read_after(c, end.position, end.n - 1, 1))
            # A transport filled by another history (a restored backup, say) says nothing about ours.
            is_ours = bool(found) and found[0].id == end.id
            place = (end.position, end.n) if is_ours else (self._position, self._n)
        if place < (self._position, self._n):
            log.info("bus_ends_earlier", extra={"ours": self._position, "bus": place[0]})
            self._position, self._n = place
        self._is_unsure = False

    async def close(self) -> None:
        """Lets go of the lease, so that another process goes on at once."""
        if self._token is not None:
            await self._mark(self._token)
            self._token = None
            await self._database.bookkeep("lease", lambda c: leases.release(c, LEASE, self._owner))

    async def _lead(self) -> None:
        now = self._clock.monotonic()
        if now < self._ask_again_at:
            return
        token = await self._database.bookkeep(
            "lease", lambda c: leases.acquire(c, LEASE, self._owner, self._clock.now(), LEASE_SECONDS)
        )
        if token is not None and token != self._token:
            self._position = await self._database.read(lambda c: leases.read_cursor(c, CURSOR))
            self._marked, self._n = self._position, LARGEST_N
            self._is_unsure = True
        self._token = token
        if token is not None and self._bus.is_shared:
            await self._go_back(token)
        # Renewed long before it runs out; asked for often enough that a dead leader is followed within its lease.
        self._ask_again_at = now + LEASE_SECONDS / 4

    async def _go_back(self, token: int) -> None:
        """To where somebody asked: what comes again is in the inboxes of those who had it."""
        if await self._database.read(outbox.find_replay) is None:
            return
        position = await self._database.bookkeep("relay_mark", lambda c: outbox.take_replay(c, CURSOR, token))
        if position is not None:
            log.warning("replay_began", extra={"after_position": position})
            self._position = self._marked = position
            self._n = LARGEST_N

    async def _mark(self, token: int) -> None:
        assert self._position is not None
        # The position last read may go on in the next batch; a restart must read it again from its beginning.
        done = self._position if self._n == LARGEST_N else self._position - 1
        self._mark_at = self._clock.monotonic() + MARK_SECONDS
        if done <= self._marked:
            return
        try:
            await self._database.bookkeep("relay_mark", lambda c: leases.move_cursor(c, CURSOR, done, token))
        except NervioError:
            self._token, self._ask_again_at = None, 0.0
            raise  # somebody else leads; what was published twice is caught by the inboxes
        self._marked = done
