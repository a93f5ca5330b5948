"""The store on PostgreSQL: one connection a lane, pooled reads, and two connections kept for the stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from nervio.db.batch import BOOKKEEPING, Command, Lane
from nervio.db.commit import GroupCommit, LaneWriter, unavailable
from nervio.db.database import PendingStop
from nervio.db.dialects import QUEUE_CHANNEL, STOP_CHANNEL
from nervio.db.execution import Outcome, StoreLost, execute
from nervio.ports.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")

READERS = 8
RECONNECT_ATTEMPTS = 5
FIRST_ANALYZE_WEIGHT = 500
"""After this many lines, and at each fourfold, the planner is told how large the tables have become."""
FREEZE_GRACE_SECONDS = 0.5
"""After this a stop terminates the backends that keep it waiting."""
FREEZE_PATIENCE_SECONDS = 5.0

_SESSION = {
    "application_name": "nervio",
    # A write transaction is meant to end within a second; these are the walls behind that.
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",
}


_WRITER_SESSION = {
    **_SESSION,
    # Writers find every row by its key. A plan made while the tables were small would scan them for ever after, since a
    # cached plan is not made again when a table grows; these settings leave only the plan that is right at any size.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "plan_cache_mode": "force_generic_plan",
}

_BLOCKERS = text(
    # Who keeps a stop waiting, other stops in the queue before it excepted: those get their turn.
    "SELECT b.pid FROM unnest(pg_blocking_pids(:pid)) AS b(pid) WHERE NOT EXISTS (SELECT 1 FROM pg_locks l "
    "WHERE l.pid = b.pid AND l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND NOT l.granted)"
)


_UNREACHABLE = "The database cannot be reached; nothing is known to be written. Send the same key again."
_UNKNOWN = (
    "The connection was lost while this was being written, and it came without an Idempotency-Key: look whether it is there "
    "before you send it again."
)


async def _drop(connection: AsyncConnection) -> None:
    with contextlib.suppress(DBAPIError, OSError):
        await connection.invalidate()
    with contextlib.suppress(DBAPIError, OSError):
        await connection.close()


class PostgreSQLDatabase:
    """See `nervio.db.database.Database`. Any number of processes may share one database."""

    def __init__(self, url: str, clock: Clock, queue_capacity: int) -> None:
        self._clock = clock
        reading: dict[str, Any] = {"server_settings": _SESSION, "timeout": 10}
        writing: dict[str, Any] = {"server_settings": _WRITER_SESSION, "timeout": 10}
        self._engine: AsyncEngine = create_async_engine(url, pool_size=READERS, max_overflow=0, connect_args=reading)
        # Connections of their own: reads that exhaust the pool must not keep a sale, and least of all a stop, waiting.
        self._reserved: AsyncEngine = create_async_engine(url, poolclass=NullPool, connect_args=writing)
        # Writers begin and end their transactions themselves, together with the fence (see `Dialect.fenced`).
        self._writing = self._reserved.execution_options(isolation_level="AUTOCOMMIT")
        self._lanes: dict[tuple[Lane, int], AsyncConnection] = {}
        self._stop_connection: AsyncConnection | None = None
        self._watch_connection: AsyncConnection | None = None
        self._stop_backend = 0
        self._stop_lock = asyncio.Lock()
        self._halt_connections: list[AsyncConnection] = []
        self._notified: Callable[[], None] | None = None
        self._queue_notified: Callable[[str], None] | None = None
        self._orphans: set[asyncio.Task[None]] = set()
        self._written = 0
        self._next_analyze = FIRST_ANALYZE_WEIGHT
        self._analyzing: asyncio.Task[None] | None = None
        self._writer = LaneWriter(self._run, queue_capacity)
        self._commits = GroupCommit(self._writer)

    async def start(self) -> None:
        """Checks that the server keeps its promises, opens the stop's connections, begins accepting commands."""
        async with self._reserved.connect() as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                value = (await connection.execute(text(f"SHOW {setting}"))).scalar_one()
                if value == "off":
                    raise RuntimeError(f"PostgreSQL runs with {setting} = off: a crash would lose sales. Turn it on.")
        await self._open_stop_connections()
        await self._writer.start()

    async def read(self, query: Callable[[Connection], T]) -> T:
        try:
            return await self._read(query)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # The server was restarted or dropped what was idle. By now the pool has let go of all such connections.
        return await self._read(query)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            # One moment for all queries of the set: under READ COMMITTED a level and its journal would be read at two, and
            # every sale in between would look like damage. Costs no round trip; readers block nobody.
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            return await connection.run_sync(query)

    async def read_reserved(self, query: Callable[[Connection], T]) -> T:
        # One in practice; a second reader at the same time opens another instead of waiting.
        connection = self._halt_connections.pop() if self._halt_connections else None
        try:
            if connection is None:
                connection = await self._reserved.connect()
                await self._listen(connection)
            found = await connection.run_sync(query)
            await connection.rollback()
        except BaseException:
            # Cancelled in the middle or broken: what the connection would answer next is anybody's guess.
            if connection is not None:
                self._keep(_drop(connection))
            raise
        self._halt_connections.append(connection)
        return found

    def on_stop_notice(self, notified: Callable[[], None]) -> None:
        self._notified = notified

    def on_queue_notice(self, notified: Callable[[str], None]) -> None:
        self._queue_notified = notified

    async def submit(self, command: Command[B, R]) -> R:
        return await self._commits.submit(command)

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        return await self._commits.submit_all(commands)

    async def run_exclusive(self, command: Command[B, R]) -> R | PendingStop:
        async with self._stop_lock:
            for attempt in (1, 2):
                stopper, watcher = await self._open_stop_connections()
                # Nothing is asked before the fence itself: what was lost since the last stop shows there, and once only.
                task = asyncio.create_task(stopper.run_sync(execute, self._clock, [command], exclusive=True))
                try:
                    outcome = await self._wait_for_stop(task, watcher, self._stop_backend)
                except (StoreLost, DBAPIError, OSError):
                    self._abandon(task)
                    if attempt == 2:
                        raise
                    continue
                except BaseException:
                    # The caller gave up; the stop it asked for goes on.
                    self._abandon(task)
                    raise
                if isinstance(outcome, PendingStop):
                    # The transaction keeps its place in the queue; its connections are not ours to use again.
                    self._abandon(task)
                    return outcome
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome  # type: ignore[return-value]
        raise AssertionError("unreachable: the second attempt returns or raises")

    async def bookkeep(self, purpose: str, work: Callable[[Connection], T]) -> T:
        assert purpose in BOOKKEEPING, purpose
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        await self._writer.close()
        ending = [*self._orphans, *([self._analyzing] if self._analyzing else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        reserved = [*self._lanes.values(), self._stop_connection, self._watch_connection, *self._halt_connections]
        for connection in reserved:
            if connection is not None:
                with contextlib.suppress(DBAPIError, OSError):
                    await connection.close()
        await self._reserved.dispose()
        await self._engine.dispose()

    async def _wait_for_stop(
        self, task: asyncio.Task[list[Outcome]], watcher: AsyncConnection, pid: int
    ) -> Outcome | PendingStop:
        """Waits for the exclusive fence; removes those who hold it longer than the grace allows."""
        done, _ = await asyncio.wait([task], timeout=FREEZE_GRACE_SECONDS)
        deadline = asyncio.get_running_loop().time() + FREEZE_PATIENCE_SECONDS
        while not done:
            # A network that swallows packets answers neither task nor watcher; new connections may get through.
            async with asyncio.timeout(FREEZE_PATIENCE_SECONDS):
                blockers = list((await watcher.execute(_BLOCKERS, {"pid": pid})).scalars())
                for blocker in blockers:
                    log.warning("stop_terminates_writer", extra={"backend": blocker})
                    await watcher.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": blocker})
                await watcher.rollback()
            done, _ = await asyncio.wait([task], timeout=0.1)
            if not done and asyncio.get_running_loop().time() > deadline:
                # Still queued for the fence: it will take effect when the holder goes, but it is not acknowledged.
                return PendingStop(blockers[0] if blockers else None, "a database backend does not let go of the fence")
        return task.result()[0]

    def _abandon(self, task: asyncio.Task[list[Outcome]]) -> None:
        """Lets go of the stop's connections, which are closed when the transaction on them has ended."""
        stopper, watcher = self._stop_connection, self._watch_connection
        self._stop_connection = self._watch_connection = None

        async def see_off() -> None:
            try:
                await asyncio.wait([task])
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                for connection in (stopper, watcher):
                    if connection is not None:
                        await _drop(connection)

        self._keep(see_off())

    async def _listen(self, connection: AsyncConnection) -> None:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.add_listener(STOP_CHANNEL, lambda *_: self._notified and self._notified())
        await raw.add_listener(QUEUE_CHANNEL, lambda *told: self._queue_notified and self._queue_notified(told[-1]))

    def _keep(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._orphans.add(task)
        task.add_done_callback(self._orphans.discard)

    async def _open_stop_connections(self) -> tuple[AsyncConnection, AsyncConnection]:
        if self._stop_connection is None or self._stop_connection.closed or self._stop_connection.invalidated:
            stopper = await self._writing.connect()
            self._stop_backend = (await stopper.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await stopper.rollback()
            self._stop_connection = stopper
        if self._watch_connection is None or self._watch_connection.closed or self._watch_connection.invalidated:
            self._watch_connection = await self._reserved.connect()
        return self._stop_connection, self._watch_connection

    async def _run(self, lane: Lane, turn: int, commands: list[Command[Any, Any]]) -> list[Outcome]:
        """Writes a batch; after a lost connection sends the same keys again, which tells what had been committed.

        A command without a key cannot be asked about: when its commit may have happened, its caller is told just that.
        """
        outcomes: dict[Command[Any, Any], Outcome] = {}
        for attempt in range(RECONNECT_ATTEMPTS):
            asked = [command for command in commands if command not in outcomes]
            if not asked:
                break
            connection = self._lanes.get((lane, turn))
            try:
                if connection is None:
                    connection = self._lanes[lane, turn] = await self._writing.connect()
                answers = await connection.run_sync(execute, self._clock, asked)
                self._count(asked)
                outcomes.update(zip(asked, answers, strict=True))
                break
            except (StoreLost, InterfaceError, OSError) as lost:
                log.warning("store_connection_lost", extra={"lane": lane.value, "error": str(lost)})
                if connection is not None and getattr(lost, "may_have_committed", True):
                    lost_for_good = [one for one in asked if one.key is None and not one.may_be_repeated]
                    outcomes.update({command: unavailable(_UNKNOWN) for command in lost_for_good})
                broken = self._lanes.pop((lane, turn), None)
                if broken is not None:
                    with contextlib.suppress(Exception):
                        await broken.close()
                await asyncio.sleep(0.05 * 2**attempt)
        return [outcomes[command] if command in outcomes else unavailable(_UNREACHABLE) for command in commands]

    def _count(self, commands: Sequence[Command[Any, Any]]) -> None:
        """Keeps the planner's picture of a fast-growing database fresh.

        Plans made on empty tables may pick any index that begins with the tenant; autovacuum would correct them after a
        minute, by when a first import has written hundreds of thousands of rows by the wrong one.
        """
        self._written += sum(command.weight for command in commands)
        if self._written >= self._next_analyze and (self._analyzing is None or self._analyzing.done()):
            self._next_analyze = self._written * 4
            self._analyzing = asyncio.create_task(self._analyze())

    async def _analyze(self) -> None:
        try:
            async with self._reserved.connect() as connection:
                await connection.execute(text("ANALYZE"))
                await connection.commit()
        except (DBAPIError, OSError) as error:
            log.warning("analyze_failed", extra={"error": str(error)})
