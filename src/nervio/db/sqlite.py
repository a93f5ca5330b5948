"""The store on SQLite: one writer thread, a small pool of readers, and a file by which a stop gets past the writer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool

from nervio.db.batch import BOOKKEEPING, Command
from nervio.db.commit import GroupCommit, ThreadWriter, unavailable
from nervio.db.database import PendingStop
from nervio.db.driver import run_on_sqlite
from nervio.db.execution import Outcome, StoreLost, execute
from nervio.ports.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")

READERS = 4
LOCK_PATIENCE_SECONDS = 5.0
"""How long BEGIN waits for the write lock, after which a stop answers "pending". Writers yield within one batch."""
STALE_REQUEST_SECONDS = 10.0
"""A stop request older than this belongs to a process that died; writers go on."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter's lock while another waits. Each statement lets go of the lock for a moment;
at Python's own 5 ms a busy event loop would make every one of a batch's statements wait that long to get it back."""
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_ROUNDS = 4
CLOSING_PATIENCE_MS = 50
FEW_PAGES = 256
LARGEST_WAL_PAGES = 16_384
LARGEST_WAL_PAGES_BESIDE_TILL = 262_144
"""64 MiB and 1 GiB of the usual pages. Starting the log over stops the writer for some ten milliseconds; an import that
writes hundreds of megabytes a second is to do that to a till once in several seconds and not in each."""

_WAL_WRITE_LOCK = 120

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA mmap_size = 268435456",
    # Checkpoints run beside the writer (see `_checkpoint_forever`), not inside some unlucky sale.
    "PRAGMA wal_autocheckpoint = 0",
)


def create_sqlite_engine(path: Path, *, writer: bool, pool_size: int = 1) -> Engine:
    """An engine whose connections are set up for durability, and whose writers take the write lock at BEGIN."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": LOCK_PATIENCE_SECONDS},
    )
    begin = "BEGIN IMMEDIATE" if writer else "BEGIN"

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN would come too late and be deferred
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        if not writer:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        run_on_sqlite(connection, begin, ())

    return engine


def _is_locked(outcome: Outcome) -> bool:
    return isinstance(outcome, OperationalError) and "database is locked" in str(outcome.orig)


def _posix_lock_holder(inode: int) -> int:
    """The process with the write lock on the index of the log (byte 120, see SQLite's wal.c). Asked of the kernel's list
    and not of the file: closing a file drops every lock its process has on it, SQLite's own included."""
    for line in Path("/proc/locks").read_text().splitlines():
        # A line reads: number, POSIX, ADVISORY, WRITE, process, device and inode, first byte, last byte.
        fields = line.split()
        if fields[1] == "POSIX" and fields[3] == "WRITE" and fields[5].endswith(f":{inode}"):
            first, last = int(fields[6]), math.inf if fields[7] == "EOF" else int(fields[7])
            if first <= _WAL_WRITE_LOCK <= last and int(fields[4]) > 0:
                return int(fields[4])
    raise ValueError(f"nobody in sight holds the lock on inode {inode}")


class StopRequest:
    """The file by which a stopper asks writers to yield; needs neither the server, the network nor the lock."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "stop.request"

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Keeps the request up while the stopper waits for the write lock and commits."""
        # Only speed depends on the file: on a full or read-only disk the stop still queues for the lock.
        with contextlib.suppress(OSError):
            self._path.write_text(str(os.getpid()))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def yield_to_stopper(self) -> None:
        """Called by writers before BEGIN: waits while a live stopper wants the lock. Costs one stat otherwise."""
        while True:
            try:
                age = time.time() - self._path.stat().st_mtime
            except FileNotFoundError:
                return
            if not -1 < age < STALE_REQUEST_SECONDS:
                # Also when the machine's clock was set back: such a file would look fresh for as long.
                with contextlib.suppress(OSError):
                    self._path.unlink(missing_ok=True)
                return
            time.sleep(0.001)


class SQLiteDatabase:
    """See `nervio.db.database.Database`. Open at most one per file and process; the data directory's lock file sees
    to it that no second server process writes."""

    def __init__(self, path: Path, clock: Clock, queue_capacity: int) -> None:
        self._path = path
        self._clock = clock
        self._stop_request = StopRequest(path.parent)
        self._writer_engine = create_sqlite_engine(path, writer=True)
        self._stopper_engine = create_sqlite_engine(path, writer=True)
        self._reader_engine = create_sqlite_engine(path, writer=False, pool_size=READERS)
        self._watch_engine = create_sqlite_engine(path, writer=False)
        self._writer_connection: Connection | None = None
        self._writer_lock = threading.Lock()
        # The writer passes it before each batch: who holds it while waiting for the writer's lock is next. The lock itself
        # is not fair, and a busy writer would take it again before anybody who waits wakes up.
        self._turn = threading.Lock()
        # Not the readers' threads: bookkeeping waits for the writer, and four such waits would let nobody read.
        self._bookkeeper = ThreadPoolExecutor(1, thread_name_prefix="nervio-bookkeeper")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="nervio-reader")
        self._stopper = ThreadPoolExecutor(1, thread_name_prefix="nervio-stopper")
        self._watcher = ThreadPoolExecutor(1, thread_name_prefix="nervio-halt-watch")
        self._writer = ThreadWriter(self._run, queue_capacity)
        self._commits = GroupCommit(self._writer)
        self._closed = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint_forever, name="nervio-checkpoint", daemon=True)

    async def start(self) -> None:
        """Begins accepting commands."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        await self._writer.start()
        self._checkpointer.start()

    async def read(self, query: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, self._reader_engine, query)

    async def read_reserved(self, query: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._watcher, self._read, self._watch_engine, query)

    def on_stop_notice(self, notified: Callable[[], None]) -> None:
        return  # SQLite tells nobody; the watch polls.

    def on_queue_notice(self, notified: Callable[[str], None]) -> None:
        return  # one process works the queue off, and knows what it left there

    async def submit(self, command: Command[B, R]) -> R:
        return await self._commits.submit(command)

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        return await self._commits.submit_all(commands)

    async def run_exclusive(self, command: Command[B, R]) -> R | PendingStop:
        return await asyncio.get_running_loop().run_in_executor(self._stopper, self.run_exclusive_now, command)

    def run_exclusive_now(self, command: Command[B, R]) -> R | PendingStop:
        """The stop itself, for callers without an event loop (the CLI with the server down, or hung)."""
        if not self._path.exists():
            raise unavailable(f"There is no database at {self._path}.")
        with self._stop_request.raised(), self._stopper_engine.connect() as connection:
            # One attempt: BEGIN has waited for the lock as long as a stop is to wait (see `create_sqlite_engine`).
            outcome = execute(connection, self._clock, [command], exclusive=True, attempts=1)[0]
            holder = self._lock_holder() if _is_locked(outcome) else None
        if _is_locked(outcome):
            return PendingStop(holder, "another process holds the database's write lock and does not yield")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome  # type: ignore[return-value]

    async def bookkeep(self, purpose: str, work: Callable[[Connection], T]) -> T:
        assert purpose in BOOKKEEPING, purpose
        return await asyncio.get_running_loop().run_in_executor(self._bookkeeper, self._bookkeep, work)

    async def close(self) -> None:
        if self._checkpointer.is_alive():
            await self._writer.close()
        self._closed.set()
        if self._checkpointer.is_alive():
            await asyncio.to_thread(self._checkpointer.join)
        self._readers.shutdown()
        self._bookkeeper.shutdown()
        self._stopper.shutdown()
        self._watcher.shutdown()
        if self._writer_connection is not None:
            self._writer_connection.close()
        for engine in (self._writer_engine, self._stopper_engine, self._reader_engine, self._watch_engine):
            engine.dispose()

    def _read(self, engine: Engine, query: Callable[[Connection], T]) -> T:
        with engine.connect() as connection, connection.begin():
            return query(connection)

    def _run(self, commands: list[Command[Any, Any]]) -> list[Outcome]:
        self._stop_request.yield_to_stopper()
        with self._turn:
            pass
        with self._writer_lock:
            try:
                outcomes = execute(self._connection(), self._clock, commands, attempts=1)
            except StoreLost as lost:
                self._writer_connection = None
                return [unavailable(f"The database could not be written: {lost}")] * len(commands)
        if _is_locked(outcomes[0]):
            return [unavailable("Another process holds the database's write lock.")] * len(commands)
        return outcomes

    def _bookkeep(self, work: Callable[[Connection], T]) -> T:
        self._stop_request.yield_to_stopper()
        with self._turn:
            self._writer_lock.acquire()
        try:
            with self._connection().begin():
                return work(self._connection())
        finally:
            self._writer_lock.release()

    def _connection(self) -> Connection:
        if self._writer_connection is None:
            self._writer_connection = self._writer_engine.connect()
        return self._writer_connection

    def _lock_holder(self) -> int | None:
        """The process that holds the write lock: as Linux tells it, else the server that wrote its id beside the file."""
        with contextlib.suppress(OSError, ValueError):
            return _posix_lock_holder(Path(f"{self._path}-shm").stat().st_ino)
        with contextlib.suppress(OSError, ValueError):
            return int((self._path.parent / "server.pid").read_text())
        return None

    def _checkpoint(self, connection: sqlite3.Connection) -> int:
        """Writes the log into the database, and again what came meanwhile, until little is left; returns the log's pages.

        Whoever then stops the writer for a moment stops it for a moment.
        """
        pages = 0
        for _ in range(CHECKPOINT_ROUNDS):
            _, pages, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages - done < FEW_PAGES:
                break
        return int(pages)

    def _checkpoint_forever(self) -> None:
        # Never waits: while somebody reads the log cannot start over, and whoever waited for that would do so with the
        # write lock in hand. The next second may be luckier, and during a long snapshot (a backup) sales go on.
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        while not self._closed.wait(CHECKPOINT_SECONDS):
            with contextlib.suppress(sqlite3.OperationalError):
                pages = self._checkpoint(connection)
                most = LARGEST_WAL_PAGES if self._writer.is_till_quiet else LARGEST_WAL_PAGES_BESIDE_TILL
                if pages > most:
                    # Only a moment without writers lets the log start over; taken between two batches. With all of it in
                    # the database, the next writer begins at its start by itself.
                    with self._turn:
                        self._writer_lock.acquire()
                    try:
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    finally:
                        self._writer_lock.release()
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA busy_timeout = {CLOSING_PATIENCE_MS}")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
