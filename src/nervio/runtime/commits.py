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
        self._events: list[asyncio.Event] = []

    def ring(self) -> None:
        """Wakes everybody. On the event loop."""
        for event in self._events:
            event.set()

    def listener(self) -> asyncio.Event:
        """An event that every ring sets; the listener clears it before it looks."""
        event = asyncio.Event()
        self._events.append(event)
        return event


class RingingDatabase:
    """See `nervio.db.database.Database`: the same, and it rings after every commit of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.committed = Bell()
        self.numbered = Bell()
        """Rings when there may be new positions to follow: after a commit that numbers itself, or by the sequencer."""
        self.queued = Bell()
        """Rings when a command that may leave work in a queue has committed, in whichever process."""
        database.on_queue_notice(self.queued.ring)
        self._on_stop: Callable[[], None] = lambda: None

    async def read(self, query: Callable[[Connection], T]) -> T:
        return await self._database.read(query)

    async def read_reserved(self, query: Callable[[Connection], T]) -> T:
        return await self._database.read_reserved(query)

    def on_queue_notice(self, notified: Callable[[], None]) -> None:
        self._database.on_queue_notice(notified)

    def on_stop_notice(self, notified: Callable[[], None]) -> None:
        self._database.on_stop_notice(notified)

    async def submit(self, command: Command[B, R]) -> R:
        reply = await self._database.submit(command)
        self._ring()
        if command.operation.enqueues and command.leaves_work:
            self.queued.ring()
        return reply

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        outcomes = await self._database.submit_all(commands)
        self._ring()
        if any(command.operation.enqueues and command.leaves_work for command in commands):
            self.queued.ring()
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
