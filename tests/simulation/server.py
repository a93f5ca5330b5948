"""A database server for many simulated processes, with PostgreSQL's visibility and locks over one SQLite file.

Every session has a connection of its own. Outside a transaction that writes, SQLite shows each statement the newest
commit, which is READ COMMITTED; a reader that asks for it gets one snapshot. Row locks and the fence are kept in a table of
ours (`locking`), taken in the order of the rows as PostgreSQL does, and a transaction begins to write to the file when it
flushes. Between any two statements of a transaction, and around its COMMIT, everybody else may go on, or the world may end.

What this cannot show is in docs/simulation.md.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from nervio.db.writes import Write
from nervio.kernel.time import SECOND, Instant
from tests.builders import NOON
from tests.simulation.faults import Faults
from tests.simulation.locking import FENCE, WRITING, Deadlock, LockTable, Name
from tests.simulation.seeded import ACTOR, OUTSIDE, SeededLoop

registry.register("simulated", "tests.simulation.speaking", "SimulatedSQLAlchemy")

LONGEST_SLOWNESS = 1.5


class ProcessDied(BaseException):
    """The process is gone; nothing of ours may catch it."""


class Refused(Exception):
    """What the server says no to; `sqlstate` as PostgreSQL tells it."""

    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class Session:
    """One connection to the server and what it has in hand."""

    def __init__(self, server: "SimulatedServer", actor: Any) -> None:
        server.sessions_opened += 1
        self.number = server.sessions_opened
        self.server, self.actor = server, actor
        self.alive = True
        self.snapshot = False
        self.writes: list[Write] = []
        self.asked: Sequence[Any] = ()
        """The commands of the batch that is being executed."""
        self.commit_row: Any = None
        self.note = ""
        """What somebody who watches the commits is to know of this one."""
        self.connection: Connection = server.engine.connect()
        self.connection.info.update(session=self, publish=server.publish)

    @property
    def raw(self) -> sqlite3.Connection:
        """The driver's connection."""
        raw: Any = self.connection.connection.dbapi_connection
        return raw  # type: ignore[no-any-return]

    # -- what a statement goes through --------------------------------------------------------------------------------

    def step(self, what: str) -> None:
        """The moment before a statement, in which anything may happen. Raises what the driver would."""
        self._wait(self.server.loop.pause(f"s{self.number} {what}"))
        faults = self.server.faults
        if faults.strikes("slow_statement"):
            self._sleep()
        if faults.strikes("lost_before_statement") or faults.strikes("lost_after_statement"):
            self.server.kill(self)
        if faults.strikes("serialization_failure"):
            self.server.loop.tell(f"s{self.number} serialization failure")
            raise _error(Refused("40001", "could not serialize access"))
        self.check()

    def check(self) -> None:
        """Raises when the process died or the connection was lost."""
        if self.actor.dead:
            raise ProcessDied
        if not self.alive or self.connection.invalidated:
            raise _error(ConnectionError("connection lost"), lost=True)

    def lock(self, name: Name, *, exclusive: bool = True) -> bool:
        """Takes a lock until the end of the transaction; whether it was waited for."""
        try:
            waited: bool = self._wait(self.server.locks.acquire(self, name, exclusive=exclusive))
        except Deadlock as deadlock:
            self.server.loop.tell(f"s{self.number} deadlock {deadlock}")
            raise _error(deadlock) from deadlock
        except ConnectionError as lost:
            raise _error(lost, lost=True) from lost
        if waited:
            self.server.loop.tell(f"s{self.number} got {'/'.join(map(str, name))[:60]}")
        return waited

    def try_lock(self, name: Name) -> bool:
        """Takes a lock that nobody else has or waits for; whether it did."""
        return self.server.locks.try_acquire(self, name)

    def lock_rows(self, table: str, keys: Sequence[Sequence[Any]]) -> bool:
        """Locks rows one after the other, as they come; whether any was waited for."""
        waited = False
        for n, key in enumerate(keys):
            if n:
                self._wait(self.server.loop.pause(f"s{self.number} next row"))
                self.check()
            waited |= self.lock((table, *key))
        return waited

    def begin_to_write(self) -> None:
        """From here on until the end of the transaction nobody else writes to the file."""
        if not self.raw.in_transaction:
            self.lock(WRITING)
            self.raw.execute("BEGIN IMMEDIATE")

    def write_at_once(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Writes something that is committed by itself, whatever becomes of the transaction."""
        alone = not self.raw.in_transaction
        self.begin_to_write()
        work(self.raw)
        if alone:
            self.raw.execute("COMMIT")
            self.server.locks.release(self, WRITING)

    def commit(self) -> None:
        """COMMIT, which may be lost before, on its way, or after."""
        self._wait(self.server.loop.pause(f"s{self.number} commit?"))
        self.check()
        faults = self.server.faults
        if faults.strikes("slow_commit"):
            self._sleep()
        if faults.strikes("lost_before_commit"):
            self.server.kill(self)
        if self.writes and faults.strikes("commit_arrives_late"):
            self.server.commit_later(self)
            raise _error(ConnectionError("connection lost while committing"), lost=True)
        self.check()
        self.server.committed(self)
        if faults.strikes("lost_after_commit"):
            self.server.kill(self)
        self._wait(self.server.loop.pause(f"s{self.number} committed"))
        self.check()

    def rollback(self) -> None:
        """Undoes what was written and lets go of every lock; never fails."""
        if self.alive:
            self.writes, self.commit_row = [], None
            # Whoever is cancelled in the middle of a statement loses the connection with it, and the file forgets the rest.
            if not self.connection.invalidated and self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            self.server.locks.release_all(self)

    def _sleep(self) -> None:
        self._wait(asyncio.sleep(self.server.faults.random.random() * LONGEST_SLOWNESS))

    def _wait(self, waiting: Any) -> Any:
        """Waits inside a greenlet. A process that died meanwhile finds out here and nowhere else."""
        found = await_only(waiting)
        if self.actor.dead:
            raise ProcessDied
        return found


class SimulatedServer:
    """The server all processes share."""

    def __init__(self, path: Path, loop: SeededLoop, faults: Faults) -> None:
        self.loop, self.faults = loop, faults
        self.locks = LockTable()
        self.engine = _engine(path, self.now)
        self.sessions: dict[int, Session] = {}
        self.sessions_opened = 0
        self._opened: list[Session] = []
        self.on_commit: list[Callable[[Session], None]] = []
        self.listeners: list[tuple[Any, Callable[[], object]]] = []
        self.publish: Callable[[Sequence[Any]], None] = lambda _: None
        self._late: list[Any] = []
        self.commits = 0

    def now(self) -> Instant:
        """The server's clock, which is the true time."""
        return NOON + int(self.loop.time() * SECOND)

    def open(self) -> Session:
        """A new session of the process that asks."""
        session = Session(self, ACTOR.get())
        self._opened.append(session)
        self.sessions[session.number] = session
        return session

    def close(self, session: Session) -> None:
        """Ends a session and whatever it had under way."""
        if session.alive:
            session.rollback()
            session.alive = False
            self.sessions.pop(session.number, None)
            session.connection.close()

    def kill(self, session: Session) -> None:
        """Ends a session as a broken cable does; its owner finds out at its next statement."""
        if not session.alive:
            return
        self.loop.tell(f"s{session.number} is lost")
        session.rollback()
        session.alive = False
        self.sessions.pop(session.number, None)
        self.locks.fail(session, ConnectionError("connection lost"))

    def committed(self, session: Session) -> None:
        """Makes the transaction true and tells everybody who watches."""
        if session.raw.in_transaction:
            session.raw.execute("COMMIT")
            self.commits += 1
            self.loop.tell(f"s{session.number} COMMIT")
            for told in self.on_commit:
                told(session)
            if any(lock == FENCE for lock in self._exclusive_of(session)):
                for _, notified in self.listeners:
                    self.loop.call_soon(notified)
        session.writes, session.commit_row = [], None
        self.locks.release_all(session)

    def commit_later(self, session: Session) -> None:
        """Loses the connection of a COMMIT that is on its way: it comes true while its owner no longer knows."""
        self.loop.tell(f"s{session.number} is lost with its commit on the way")

        async def arrive() -> None:
            await asyncio.sleep(self.faults.random.random() * LONGEST_SLOWNESS)
            await self.loop.pause(f"s{session.number} commit arrives")
            session.actor, session.alive = OUTSIDE, True
            self.committed(session)
            self.close(session)

        session.alive = False
        self.sessions.pop(session.number, None)
        self._late.append(self.loop.outside(arrive()))

    def end(self) -> None:
        """Closes every connection there ever was. Those whose owners are gone nobody else does."""
        for session in self._opened:
            with contextlib.suppress(Exception):
                session.connection.close()
        self.engine.dispose()

    def lose_process(self, actor: Any) -> None:
        """The server notices that a process is gone."""
        for session in [one for one in self.sessions.values() if one.actor is actor]:
            self.kill(session)
        self.listeners = [one for one in self.listeners if one[0] is not actor]

    def _exclusive_of(self, session: Session) -> list[Name]:
        lock = self.locks._locks.get(FENCE)
        return [FENCE] if lock is not None and lock.holders.get(session) else []


def _error(cause: Exception, *, lost: bool = False) -> DBAPIError:
    return DBAPIError("", None, cause, connection_invalidated=lost)


def _engine(path: Path, now: Callable[[], Instant]) -> Engine:
    engine = create_engine(f"simulated:///{path}", poolclass=NullPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.create_function("server_now", 0, now)
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = ON", "wal_autocheckpoint = 0"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
