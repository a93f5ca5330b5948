"""Events that may kill their process: noted before they are tried, and tried alone when they were under way at a death.

A process that dies cannot count. Whoever takes a handler over from one that did not hand over therefore notes each event that
the dead one may have had before it tries it, many in a write; and one that was noted and not seen to end is tried with no
other beside it and counted first. Without a death nothing is written but who works for the handler.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from nervio.db import attempts
from nervio.db.database import Database
from nervio.ports.bus import Event, Suspects
from nervio.ports.clock import Clock
from nervio.runtime.relay import HANDLER_CURSORS

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
REPLAY = "replay:"
"""Before the name of a handler: attempts at its dead letters, which its cursor has long passed."""


class _Attempt:
    """One that is not noted; it only waits for whoever is alone."""

    __slots__ = ("_trials",)

    def __init__(self, trials: ProcessTrials) -> None:
        self._trials = trials

    async def __aenter__(self) -> None:
        await self._trials.enter()

    async def __aexit__(self, *_: object) -> None:
        self._trials.leave()


class ProcessTrials:
    """See `nervio.ports.bus.Trials`. One for all handlers of a process: what dies is the process."""

    def __init__(self, database: Database, clock: Clock, process_id: str) -> None:
        self._database, self._clock, self._process_id = database, clock, process_id
        self._running = 0
        self._quiet = asyncio.Event()
        self._alone = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._writing = asyncio.Lock()
        self._begun: list[attempts.Begun] = []
        self._ended: list[tuple[str, str]] = []

    async def take_over(self, group: str) -> Suspects:
        """Reads what the one before left, and notes this process."""
        await self.flush()
        cursor = HANDLER_CURSORS + group
        suspects = await self._database.bookkeep(
            "handlers", lambda c: attempts.take_over(c, group, cursor, self._process_id)
        )
        if suspects.until or suspects.begun:
            extra = {"handler": group, "until": suspects.until, "begun": len(suspects.begun)}
            log.warning("handler_was_not_handed_over", extra=extra)
        return suspects

    async def hand_over(self, group: str) -> None:
        """Notes that nobody works for the group."""
        await self.flush()
        await self._database.bookkeep("handlers", lambda c: attempts.hand_over(c, group, self._process_id))

    def attempt(self, group: str, event: Event, alone: int | None) -> AbstractAsyncContextManager[None]:
        """Around an attempt; see the port."""
        return _Attempt(self) if alone is None else self._noted(group, event, alone)

    async def read_begun(self, group: str) -> Suspects:
        """Those whose attempt is noted as begun, of a group that nobody takes over."""
        return Suspects(0, await self._database.read(partial(attempts.read_begun, handler=group)))

    async def flush(self) -> None:
        """Forgets attempts that ended. Raises where the store is away; they are forgotten later then."""
        if not self._ended:
            return
        async with self._writing:
            await self._write()

    async def enter(self) -> None:
        """Begins an attempt beside others."""
        while not self._open.is_set():
            await self._open.wait()
        self._running += 1

    def leave(self) -> None:
        """Ends it."""
        self._running -= 1
        if not self._running:
            self._quiet.set()

    @asynccontextmanager
    async def _noted(self, group: str, event: Event, alone: int) -> AsyncIterator[None]:
        begun = (group, event.id, event.position, alone)
        if not alone:
            await self._note(begun)
            async with _Attempt(self), self._seen_to_end(group, event):
                yield
            return
        async with self._alone:
            self._open.clear()
            try:
                while self._running:
                    self._quiet.clear()
                    await self._quiet.wait()
                await self._note(begun)
                log.warning("event_tried_alone", extra={"handler": group, "event_id": event.id, "attempt": alone})
                async with self._seen_to_end(group, event):
                    yield
            finally:
                self._open.set()

    @asynccontextmanager
    async def _seen_to_end(self, group: str, event: Event) -> AsyncIterator[None]:
        try:
            yield
        except Exception:
            self._ended.append(
                (group, event.id)
            )  # an attempt that failed is counted as any other; one that was cut off stays noted
            raise
        self._ended.append((group, event.id))

    async def _note(self, begun: attempts.Begun) -> None:
        """Returns once it is written down; those that come meanwhile share the next write."""
        self._begun.append(begun)
        while begun in self._begun:
            async with self._writing:
                if begun not in self._begun:
                    return
                try:
                    await self._write()
                    return
                except Exception as error:  # noqa: BLE001 (until it is written down, it is not tried)
                    log.warning("attempt_not_noted", extra={"handler": begun[0], "error": type(error).__name__})
            await asyncio.sleep(RETRY_SECONDS)

    async def _write(self) -> None:
        begun, ended, now = self._begun, self._ended, self._clock.now()
        self._begun, self._ended = [], []
        try:
            await self._database.bookkeep("handlers", lambda c: attempts.note(c, begun, ended, now))
        except BaseException:
            self._begun, self._ended = begun + self._begun, ended + self._ended
            raise
