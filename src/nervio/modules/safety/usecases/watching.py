"""What is in force, kept in memory: the fence guards writes by itself, this guards everything else.

The database's own fence decides about writes. Reads, dispatch and effects outside have no transaction to ask it in, so
each process keeps the halts in memory and refreshes them under a lease: once the store could not be read for as long as
the lease lasts, a stop may have been acknowledged that this process knows nothing of, and everything counts as frozen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Sequence

from sqlalchemy import Connection

from nervio.db import halt as halt_state
from nervio.db.database import Database
from nervio.db.halt import Halt, Level
from nervio.kernel.ids import NIL
from nervio.kernel.time import SECOND
from nervio.modules.safety.store import drills as store
from nervio.ports.clock import Clock

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.5
LEASE_SECONDS = 2.0
ACKNOWLEDGE_SECONDS = 10.0
"""How often a process says that it is there, when the stops do not change."""
FORGET_SECONDS = 24 * 3600
LOST = "The database could not be read; whether a stop is in force is unknown."


class HaltWatch:
    """The halts in force, as this process last read them. One a process, on its event loop.

    A freeze or thaw of this process shows after `refresh`, which the routes await. Those of other processes show at once
    on PostgreSQL (by notification; the poll stays the truth) and within `REFRESH_SECONDS` on SQLite.
    """

    def __init__(self, database: Database, clock: Clock, process_id: str | None = None) -> None:
        self._database = database
        self._clock = clock
        self._process_id = process_id
        self._acknowledging: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._active: Sequence[Halt] = ()
        self._renewed = -math.inf
        self._wake = asyncio.Event()
        self._reading = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads once, so that nothing is served on a guess, and goes on reading. A store that does not answer is no
        error: then everything counts as frozen."""
        self._database.on_stop_notice(self.wake)
        await self._try_to_refresh()
        self._task = asyncio.create_task(self._refresh_forever(), name="nervio-halt-watch")
        if self._process_id is not None:
            work = self._acknowledge_forever(self._process_id)
            self._acknowledging = asyncio.create_task(work, name="nervio-halt-acknowledgements")

    async def stop(self) -> None:
        """Ends the reading. What was known runs out with its lease."""
        for task in (self._acknowledging, self._task):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._acknowledging is not None and self._process_id is not None and not self._is_lost():
            process_id = self._process_id
            with contextlib.suppress(Exception):  # whoever asks for it waits a little longer
                await self._database.bookkeep("halt_seen", lambda c: store.forget_watchers(c, 0, process_id))
        self._task = self._acknowledging = None

    def wake(self) -> None:
        """Asks for a refresh now; for callers on the event loop."""
        self._wake.set()

    async def refresh(self) -> None:
        """Reads now. Raises what the store raises, TimeoutError when it does not answer within the lease."""
        async with self._reading:
            # Counted from before the question was sent: the answer may have been on its way for as long as it took.
            asked = self._clock.monotonic()
            async with asyncio.timeout(LEASE_SECONDS):
                found = await self._database.read_reserved(self._read)
            self._renewed = asked
        is_news = found != self._active
        # Equal ones are kept too: they know the time at which they were read, and so whose turn it is in a thaw.
        self._active = found
        if is_news:
            self._news.set()
            async with self._changed:
                self._changed.notify_all()

    def _read(self, connection: Connection) -> Sequence[Halt]:
        return halt_state.read_active(connection, self._clock.now())

    async def wait_for_change(self) -> None:
        """Returns when the halts in force have changed. For live streams."""
        async with self._changed:
            await self._changed.wait()

    @property
    def in_force(self) -> Sequence[Halt]:
        """The halts in force, the oldest first, drills left out; after a lost lease one that covers everything."""
        return [self._unknown()] if self._is_lost() else [halt for halt in self._active if not halt.is_drill]

    def find_blocking_read(self, tenant_id: str | None) -> Halt | None:
        """The halt that forbids this tenant even to read, which is what every request outside the stop's own paths asks."""
        if self._is_lost():
            return self._unknown()
        return halt_state.find_blocking_read(self._active, tenant_id)

    def find_blocking_effect(self, tenant_id: str, module: str) -> Halt | None:
        """The halt that forbids a module to dispatch work or to act outside for a tenant. A halt of one location does:
        such an act names none."""
        for halt in self.in_force:
            if halt.concerns(tenant_id) and halt.module in (None, module):
                return halt
        return None

    def _is_lost(self) -> bool:
        return self._clock.monotonic() - self._renewed >= LEASE_SECONDS

    def _unknown(self) -> Halt:
        return Halt(NIL, None, None, None, Level.ALL, LOST, "nervio", self._clock.now())

    async def _refresh_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            await self._try_to_refresh()

    async def _acknowledge_forever(self, process_id: str) -> None:
        """Writes down what this process holds for in force, so that a stop can be seen to have reached everybody. Beside the
        reading and never in its way: on a busy store a write takes longer than the lease."""

        def write(connection: Connection) -> None:
            now = halt_state.read_clock(connection, self._clock.now())
            store.acknowledge(connection, process_id, [halt.id for halt in self._active], now)
            store.forget_watchers(connection, now - FORGET_SECONDS * SECOND)

        while True:
            self._news.clear()
            try:
                await self._database.bookkeep("halt_seen", write)
            except Exception as error:  # noqa: BLE001 (the next one says as much)
                log.info("halts_not_acknowledged", extra={"error": str(error) or type(error).__name__})
                await asyncio.sleep(REFRESH_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                    await self._news.wait()

    async def _try_to_refresh(self) -> None:
        try:
            await self.refresh()
        except Exception as error:  # noqa: BLE001
            # Whatever it was, the next reading may succeed, and until then the lease decides.
            log.warning("halts_not_read", extra={"error": str(error) or type(error).__name__})
