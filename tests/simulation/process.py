"""A process that writes to a store and dies where it is told to.

A crash is an exception that none of our code may catch, raised where the driver is about to execute a statement or
SQLAlchemy to commit; what follows is what follows a kill: the connection is dropped with whatever it had not committed, and a new
process opens the file.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, event

from nervio.db.batch import Command
from nervio.db.execution import Outcome, execute
from nervio.db.sqlite import create_sqlite_engine
from tests.builders import SetClock

BEFORE_COMMIT = -1
AFTER_COMMIT = -2


class Crash(BaseException):
    """The process is gone."""


class Process:
    """One life between two crashes."""

    def __init__(self, path: Path, clock: SetClock) -> None:
        self._clock = clock
        self._engine = create_sqlite_engine(path, writer=True)
        self._statements_left: int | None = None
        self._crash_before_commit = False
        event.listen(self._engine, "do_connect", self._count_statements)
        event.listen(self._engine, "commit", self._about_to_commit)
        self.connection = self._engine.connect()

    def execute(self, commands: Sequence[Command[Any, Any]], crash_at: int | None) -> list[Outcome]:
        """One batch. `crash_at`: after so many statements, BEFORE_COMMIT, AFTER_COMMIT (the callers hear nothing), or
        None. Raises Crash."""
        self._statements_left = crash_at if crash_at is not None and crash_at >= 0 else None
        self._crash_before_commit = crash_at == BEFORE_COMMIT
        outcomes = execute(self.connection, self._clock, commands)
        if crash_at == AFTER_COMMIT:
            raise Crash
        self._statements_left, self._crash_before_commit = None, False
        return outcomes

    def die(self) -> None:
        """Drops the connection as a kill would: nothing is rolled back or committed politely."""
        if not self.connection.invalidated:
            raw = self.connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.close()
            self.connection.invalidate()
        self._engine.dispose()

    def _count_statements(self, _dialect: object, _record: object, _cargs: object, options: dict[str, Any]) -> None:
        """Opens the connection with cursors that count; everything a connection executes goes through one of them."""
        about_to_execute = self._about_to_execute

        class CountingCursor(sqlite3.Cursor):
            def execute(self, sql: str, parameters: Any = (), /) -> Self:
                about_to_execute()
                return super().execute(sql, parameters)

            def executemany(self, sql: str, rows: Any, /) -> Self:
                about_to_execute()
                return super().executemany(sql, rows)

        class CountingConnection(sqlite3.Connection):
            def cursor(self, factory: Any = CountingCursor) -> Any:
                return super().cursor(factory)

        options["factory"] = CountingConnection

    def _about_to_execute(self) -> None:
        if self._statements_left is not None:
            self._statements_left -= 1
            if self._statements_left < 0:
                raise Crash

    def _about_to_commit(self, _connection: Connection) -> None:
        if self._crash_before_commit:
            raise Crash
