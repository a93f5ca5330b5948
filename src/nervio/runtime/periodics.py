"""Work that one process at a time does again and again: sweeping, sealing, folding."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nervio.db import leases
from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.runtime.relay import wait_any
from nervio.web.manifest import Periodic

log = logging.getLogger(__name__)

SHORTEST_LEASE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PacedWork:
    """A periodic. With `close` it takes its lease by itself, and `close` lets go of it. With `idle_seconds` it rests for longer, at
    most so long, until this process commits something."""

    periodic: Periodic
    close: Callable[[Ctx], Awaitable[object]] | None = None
    idle_seconds: float = 0.0


class PeriodicRunner:
    """Runs one periodic while this process holds the lease of its name. Several processes may try; one does it. `committed` is set
    by every commit of this process."""

    def __init__(self, work: PacedWork, ctx: Ctx, owner: str, committed: asyncio.Event | None = None) -> None:
        self._periodic, self._close, self._ctx, self._owner = work.periodic, work.close, ctx, owner
        self._idle_seconds, self._committed = work.idle_seconds, committed or asyncio.Event()
        periodic = work.periodic
        self._lease = f"periodic:{periodic.name}"
        self._lease_seconds = max(SHORTEST_LEASE_SECONDS, 4 * periodic.seconds)
        self._leads_until = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set; a round that is under way is finished, then the lease is let go."""
        pause = 0.0
        while not stopping.is_set():
            started = self._ctx.clock.monotonic()
            try:
                if await self._leads():
                    await self._periodic.run(self._ctx)
                pause = 0.0
            except NervioError as error:
                # A stop is no failure: the work waits, and nobody is told every second.
                if error.kind is not Kind.HALTED:
                    pause = self._failed(error, pause)
            except Exception as error:  # noqa: BLE001 (the next round may find the store again)
                pause = self._failed(error, pause)
            took = self._ctx.clock.monotonic() - started
            await wait_any(max(pause, self._periodic.seconds - took, 0.0), stopping)
            if self._idle_seconds > self._periodic.seconds:
                await wait_any(self._idle_seconds - self._periodic.seconds, stopping, self._committed)
                self._committed.clear()
        await self._let_go()

    async def _leads(self) -> bool:
        if self._close is not None:
            return True
        now = self._ctx.clock.monotonic()
        # Renewed at half its time only: on SQLite each renewal is a durable write.
        if now < self._leads_until - self._lease_seconds / 2:
            return True
        token = await self._ctx.database.bookkeep(
            "lease",
            lambda c: leases.acquire(c, self._lease, self._owner, self._ctx.clock.now(), self._lease_seconds),
        )
        self._leads_until = 0.0 if token is None else now + self._lease_seconds
        return token is not None

    async def _let_go(self) -> None:
        with contextlib.suppress(Exception):  # the lease runs out by itself
            if self._close is not None:
                await self._close(self._ctx)
            elif self._leads_until:
                await self._ctx.database.bookkeep("lease", lambda c: leases.release(c, self._lease, self._owner))

    def _failed(self, error: Exception, pause: float) -> float:
        pause = min(max(self._periodic.seconds, 1.0, pause * 2), LONGEST_PAUSE_SECONDS)
        log.warning(
            "periodic_failed",
            extra={
                "periodic": self._periodic.name,
                "error": str(error) or type(error).__name__,
                "error_type": type(error).__name__,
                "again_in_seconds": pause,
            },
        )
        return pause
