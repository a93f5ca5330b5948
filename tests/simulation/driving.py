"""The simulated server as the product's PostgreSQL database sees it: SQLAlchemy's asynchronous engine, and no more of it than
`nervio.db.postgresql` uses. Everything above it (lanes, retries, the stop) is the product's own code."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.util import greenlet_spawn

from nervio.db.execution import execute
from tests.simulation.seeded import ACTOR
from tests.simulation.server import ProcessDied, Session, SimulatedServer


class SimulatedEngine:
    """Stands where `create_async_engine` puts an engine."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server

    def execution_options(self, **options: object) -> "SimulatedEngine":
        return self

    def connect(self) -> "Connecting":
        return Connecting(self._server)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["SimulatedConnection"]:
        """A transaction that commits when the block ends."""
        connection = await self.connect()
        try:
            yield connection
            await connection.commit()
        finally:
            await connection.close()

    async def dispose(self) -> None:
        return


class Connecting:
    """A connection to be: awaited, or entered and closed again."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self._connection: SimulatedConnection | None = None

    def __await__(self) -> Any:
        return self._open().__await__()

    async def __aenter__(self) -> "SimulatedConnection":
        self._connection = await self._open()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        await self._connection.close()

    async def _open(self) -> "SimulatedConnection":
        await self._server.loop.pause("connect")
        if ACTOR.get().dead:
            raise ProcessDied
        return SimulatedConnection(self._server)


class SimulatedConnection:
    """One connection: SQLAlchemy's AsyncConnection as far as the product uses it."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self._session = server.open()

    @property
    def closed(self) -> bool:
        return not self._session.alive

    @property
    def invalidated(self) -> bool:
        return not self._session.alive

    async def execution_options(self, *, isolation_level: str = "", **options: object) -> "SimulatedConnection":
        self._session.snapshot = isolation_level == "REPEATABLE READ"
        return self

    async def run_sync(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Runs a synchronous function that may pause at each of its statements."""
        session = self._session
        if work is execute:
            session.asked = arguments[1]
        if session.snapshot and not session.raw.in_transaction:
            await self._server.loop.pause(f"s{session.number} snapshot")
            session.check()
            session.raw.execute("BEGIN")
        return await greenlet_spawn(work, session.connection, *arguments, **options)

    async def execute(self, statement: Any, parameters: dict[str, Any] | None = None) -> "_Answer":
        """The few statements of the stop and of starting up that only PostgreSQL has."""
        await self._server.loop.pause("ask the server")
        self._session.check()
        text = str(statement)
        if text.startswith("SHOW") or text == "ANALYZE":
            return _Answer(["on"])
        if "pg_backend_pid" in text:
            return _Answer([self._session.number])
        of = self._server.sessions.get((parameters or {}).get("pid", 0))
        if "pg_terminate_backend" in text:
            if of is not None:
                self._server.kill(of)
            return _Answer([True])
        assert "pg_blocking_pids" in text, text
        locks = self._server.locks
        blockers = [] if of is None else [one for one in locks.blockers_of(of) if not locks.waits_exclusively(one)]
        return _Answer([one.number for one in blockers if isinstance(one, Session)])

    async def commit(self) -> None:
        await greenlet_spawn(self._session.commit)

    async def rollback(self) -> None:
        self._session.rollback()

    async def invalidate(self) -> None:
        self._server.kill(self._session)

    async def close(self) -> None:
        self._server.close(self._session)

    async def get_raw_connection(self) -> "SimulatedConnection":
        return self

    @property
    def driver_connection(self) -> "SimulatedConnection":
        return self

    async def add_listener(self, channel: str, notified: Callable[..., object]) -> None:
        self._server.listeners.append((self._session.actor, notified))


class _Answer:
    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def scalar_one(self) -> Any:
        return self._values[0]

    def scalars(self) -> Iterator[Any]:
        return iter(self._values)
