"""One question to the lease table at a time, for everybody of the process who has one: many locks share a durable write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from nervio.db import leases
from nervio.db.database import Database
from nervio.db.leases import Answer, Ask
from nervio.kernel.errors import Kind, NervioError
from nervio.ports.clock import Clock

T = TypeVar("T")

PATIENCE_SECONDS = 5.0


class LeaseDesk:
    """Collects what is asked while the question before is being answered, and asks all of it in one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, ask: Ask) -> Answer:
        """The answer, never None. Raises NervioError `lock_unavailable` where the store gives none."""
        answer = await self._once(ask)
        # A write under this lock has the row. Others do not wait for that with us, so this goes by itself.
        return await self.insist(ask) if answer is None else answer

    async def insist(self, ask: Ask, seconds: float = PATIENCE_SECONDS) -> Answer:
        """The same, waiting so long for the row in the database's own queue, where one's turn comes beside any stream of
        writes."""
        work = self._database.bookkeep(
            "lease", lambda connection: leases.settle(connection, [ask], self._clock.now(), waits=True)
        )
        return (await _guarded(work, seconds))[0]

    async def look(self, name: str) -> leases.Held | None:
        """The state of a lease, read beside the writers; None before its first holder. Raises `lock_unavailable`."""
        return await _guarded(self._database.read(lambda connection: leases.find_holder(connection, name)))

    async def _once(self, ask: Ask) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="nervio-lease-desk")
        return await future

    async def _work(self) -> None:
        while self._waiting:
            # Who gave up before the question was put has no part in it.
            batch = [(ask, future) for ask, future in self._waiting if not future.done()]
            self._waiting.clear()
            if batch:
                await self._settle(batch)

    async def _settle(self, batch: Sequence[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        asks = [ask for ask, _ in batch]
        try:
            answers = await _guarded(
                self._database.bookkeep("lease", lambda c: leases.settle(c, asks, self._clock.now()))
            )
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(unavailable("it is shutting down") if _is_end(error) else error)
            if _is_end(error):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def unavailable(why: str) -> NervioError:
    """The lock cannot be had, and it is not known who has it."""
    return NervioError(
        Kind.UNAVAILABLE, "lock_unavailable", f"The lock cannot be asked for, the database does not answer ({why})."
    )


async def _guarded(question: Awaitable[T], seconds: float = PATIENCE_SECONDS) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await question
    except (DBAPIError, OSError) as error:  # TimeoutError is one of them
        raise unavailable(type(error).__name__) from error


def _is_end(error: BaseException) -> bool:
    return not isinstance(error, Exception)
