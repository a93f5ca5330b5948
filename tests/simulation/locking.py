"""Locks as PostgreSQL has them: row locks and the advisory fence, first come first served, deadlocks found when they close."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Name = tuple[Any, ...]

FENCE: Name = ("fence",)
WRITING: Name = ("writing",)
"""Whoever writes to the one file behind the simulated server holds this until the end of its transaction. It is no lock of
PostgreSQL, and a deadlock in which it takes part is none of the product's."""


class Deadlock(Exception):
    """The lock would never be given; `sqlstate` as PostgreSQL tells it."""

    sqlstate = "40P01"


@dataclass(eq=False)
class Wait:
    """One who waits."""

    owner: Any
    exclusive: bool
    future: asyncio.Future[None]


@dataclass
class _Lock:
    holders: dict[Any, bool] = field(default_factory=dict)
    queue: list[Wait] = field(default_factory=list)

    def fits(self, owner: Any, exclusive: bool) -> bool:
        others = [mode for holder, mode in self.holders.items() if holder is not owner]
        return not others if exclusive else not any(others)


class LockTable:
    """All locks of a server. Owners are sessions, compared by identity."""

    def __init__(self) -> None:
        self._locks: dict[Name, _Lock] = {}
        self._waiting: dict[Any, Name] = {}
        self.on_deadlock: Callable[[list[Name]], object] = lambda _: None

    async def acquire(self, owner: Any, name: Name, *, exclusive: bool = True) -> bool:
        """Takes the lock; returns whether it had to be waited for. Raises Deadlock."""
        lock = self._locks.setdefault(name, _Lock())
        if owner in lock.holders and lock.holders[owner] >= exclusive:
            return False
        if lock.fits(owner, exclusive) and not lock.queue:
            lock.holders[owner] = exclusive
            return False
        wait = Wait(owner, exclusive, asyncio.get_running_loop().create_future())
        lock.queue.append(wait)
        self._waiting[owner] = name
        try:
            cycle = self._cycle_from(owner)
            if cycle is not None:
                self.on_deadlock(cycle)
                raise Deadlock(" → ".join("/".join(map(str, one)) for one in cycle))
            await wait.future
        except BaseException:
            if wait in lock.queue:
                lock.queue.remove(wait)
            if wait.future.done() and not wait.future.cancelled() and wait.future.exception() is None:
                lock.holders.pop(owner, None)
            self._grant(name)
            raise
        finally:
            self._waiting.pop(owner, None)
        return True

    def try_acquire(self, owner: Any, name: Name) -> bool:
        """Takes the lock for its owner alone if that needs no waiting; whether it did."""
        lock = self._locks.setdefault(name, _Lock())
        if not lock.fits(owner, exclusive=True) or (lock.queue and owner not in lock.holders):
            return False
        lock.holders[owner] = True
        return True

    def blockers_of(self, owner: Any) -> list[Any]:
        """Who holds, or stands in the queue before, what the owner waits for."""
        name = self._waiting.get(owner)
        if name is None:
            return []
        lock = self._locks[name]
        found = [holder for holder in lock.holders if holder is not owner]
        for wait in lock.queue:
            if wait.owner is owner:
                break
            found.append(wait.owner)
        return found

    def waits_exclusively(self, owner: Any) -> bool:
        """Whether the owner stands in a queue for an exclusive lock."""
        name = self._waiting.get(owner)
        return name is not None and any(wait.owner is owner and wait.exclusive for wait in self._locks[name].queue)

    def fail(self, owner: Any, error: Exception) -> None:
        """Ends the owner's waiting, if it waits."""
        name = self._waiting.get(owner)
        if name is not None:
            for wait in self._locks[name].queue:
                if wait.owner is owner and not wait.future.done():
                    wait.future.set_exception(error)

    def release(self, owner: Any, name: Name) -> None:
        """Lets go of one lock."""
        lock = self._locks.get(name)
        if lock is not None and lock.holders.pop(owner, None) is not None:
            self._grant(name)

    def release_all(self, owner: Any) -> None:
        """Lets go of everything, as the end of a transaction does."""
        for name in [name for name, lock in self._locks.items() if owner in lock.holders]:
            self.release(owner, name)

    def _grant(self, name: Name) -> None:
        lock = self._locks.get(name)
        if lock is None:
            return
        while lock.queue and lock.fits(lock.queue[0].owner, lock.queue[0].exclusive):
            wait = lock.queue.pop(0)
            if not wait.future.done():
                lock.holders[wait.owner] = wait.exclusive
                del self._waiting[wait.owner]
                wait.future.set_result(None)
        if not lock.queue and not lock.holders:
            del self._locks[name]

    def _cycle_from(self, owner: Any) -> list[Name] | None:
        """The locks of a circle of waiting that the owner has just closed."""
        path: list[Any] = [owner]
        seen: set[int] = set()

        def visit(one: Any) -> bool:
            for blocker in self.blockers_of(one):
                if blocker is owner:
                    return True
                if id(blocker) not in seen:
                    seen.add(id(blocker))
                    path.append(blocker)
                    if visit(blocker):
                        return True
                    path.pop()
            return False

        return [self._waiting[one] for one in path] if visit(owner) else None
