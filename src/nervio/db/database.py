"""The store as the rest of the program sees it: read, submit, stop. One implementation a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from nervio.db.batch import Command
from nervio.db.execution import Outcome

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PendingStop:
    """A stop that is not acknowledged: the process named still holds the writers' fence and could not be removed."""

    process_id: int | None
    detail: str


class Database(Protocol):
    """A store that is open."""

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs a set of queries in one read transaction, off the event loop where the driver blocks."""
        ...

    async def read_reserved(self, query: Callable[[Connection], T]) -> T:
        """Like `read`, on a connection that no other read can keep waiting. For the watch over the halts."""
        ...

    def on_stop_notice(self, notified: Callable[[], None]) -> None:
        """Calls `notified` on the event loop when another process stopped or resumed. Speed only: a notice may be lost,
        and a database without notifications never gives one."""
        ...

    def on_queue_notice(self, notified: Callable[[str], None]) -> None:
        """The same, with the name of the queue, when a process, this one too, may have left work in a queue (`Operation.enqueues`)."""
        ...

    async def submit(self, command: Command[B, R]) -> R:
        """Commits one command through the group commit. Raises its refusal."""
        ...

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        """Commits commands in order of arrival; refusals come back as values."""
        ...

    async def run_exclusive(self, command: Command[B, R]) -> R | PendingStop:
        """Commits a command while no other write is under way, ahead of every queue, on a connection of its own.

        When this returns a reply, the last write that was under way has ended, and every later one sees the command.
        """
        ...

    async def bookkeep(self, purpose: str, work: Callable[[Connection], T]) -> T:
        """Runs a short transaction of the layer's own mechanics; `purpose` is one of `BOOKKEEPING`."""
        ...

    async def close(self) -> None:
        """Finishes what is being written and lets go of the store."""
        ...
