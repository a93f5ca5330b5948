"""The store with a bell: whoever follows the order of facts is woken by a commit instead of asking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from nervio.db.batch import Command
from nervio.db.database import Database, PendingStop
from nervio.db.execution import Outcome

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")


class Bell:
    """Wakes those who wait, once each; a ring while somebody works is heard when they wait again."""

    def __init__(self) -> None:
        self._events: list[tuple[str, asyncio.Event]] = []

    def ring(self, about: str = "") -> None:
        """Wakes those who listen for that, or for anything; everybody where nothing is said. On the event loop."""
        for wanted, event in self._events:
            if not about or wanted in ("", about):
                event.set()

    def listener(self, about: str = "") -> asyncio.Event:
        """An event that rings set; the listener clears it before it looks."""
        event = asyncio.Event()
        self._events.append((about, event))
        return event


class RingingDatabase:
    """See `nervio.db.database.Database`: the same, and it rings after every commit of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.committed = Bell()
        self.numbered = Bell()
        """Rings when there may be new positions to follow: after a commit that numbers itself, or by the sequencer."""
        self.queued = Bell()
        """Rings with the name of a queue when a command that may leave work in it has committed, in whichever process."""
        database.on_queue_notice(self.queued.ring)
        self._on_stop: Callable[[], None] = lambda: None

    async def read(self, query: Callable[[Connection], T]) -> T:
        return await self._database.read(query)

    async def read_reserved(self, query: Callable[[Connection], T]) -> T:
        return await self._database.read_reserved(query)

    def on_queue_notice(self, notified: Callable[[str], None]) -> None:
        self._database.on_queue_notice(notified)

    def on_stop_notice(self, notified: Callable[[], None]) -> None:
        self._database.on_stop_notice(notified)

    async def submit(self, command: Command[B, R]) -> R:
        reply = await self._database.submit(command)
        self._ring()
        if command.operation.enqueues and command.leaves_work:
            self.queued.ring(command.operation.enqueues)
        return reply

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        outcomes = await self._database.submit_all(commands)
        self._ring()
        for queue in {command.operation.enqueues for command in commands if command.leaves_work} - {""}:
            self.queued.ring(queue)
        return outcomes

    async def run_exclusive(self, command: Command[B, R]) -> R | PendingStop:
        outcome = await self._database.run_exclusive(command)
        self._ring()
        self._on_stop()
        return outcome

    def on_stop(self, done: Callable[[], None]) -> None:
        """Calls `done` when this process stopped or resumed something, so that it can tell the others."""
        self._on_stop = done

    async def bookkeep(self, purpose: str, work: Callable[[Connection], T]) -> T:
        return await self._database.bookkeep(purpose, work)

    def _ring(self) -> None:
        self.committed.ring()
        self.numbered.ring()

    async def close(self) -> None:
        await self._database.close()
