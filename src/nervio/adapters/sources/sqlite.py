"""A SQLite file as a source: opened read-only, asked in a thread, stopped when its time is over."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nervio.adapters.sources.faults import fault_of
from nervio.ports.sources import Cause, Rows, SourceFault

STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""

_MEANINGS = (
    ("no such table", Cause.UNKNOWN_TABLE),
    ("no such column", Cause.UNKNOWN_COLUMN),
    ("ambiguous column", Cause.AMBIGUOUS_COLUMN),
    ("no such function", Cause.UNKNOWN_FUNCTION),
    ("readonly database", Cause.WRITES),
    ("syntax error", Cause.BAD_SQL),
    ("incomplete input", Cause.BAD_SQL),
    ("interrupted", Cause.TOO_SLOW),
    ("database is locked", Cause.BUSY),
    ("not a database", Cause.NOT_A_FILE_OF_IT),
    ("malformed", Cause.NOT_A_FILE_OF_IT),
    ("unable to open", Cause.NO_FILE),
)


class SqliteSource:
    """See `nervio.ports.sources.Source`. The file is opened anew each time, so that one that was replaced is read as it is now."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def ask(self, sql: str, values: Mapping[str, Any], *, seconds: float, most_rows: int) -> Rows:
        """See `Source`."""
        return await asyncio.to_thread(self._ask, sql, values, seconds, most_rows)

    async def close(self) -> None:
        """See `Source`."""

    def _ask(self, sql: str, values: Mapping[str, Any], seconds: float, most_rows: int) -> Rows:
        if not self._path.is_file():
            raise fault_of(Cause.NO_FILE, said=str(self._path))
        until = time.monotonic() + seconds
        try:
            connection = sqlite3.connect(f"file:{quote(str(self._path.absolute()))}?mode=ro", uri=True, timeout=seconds)
            try:
                connection.execute("PRAGMA query_only = ON")
                connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
                found = connection.execute(sql, dict(values))
                columns = tuple(column[0] for column in found.description or ())
                return Rows(columns, found.fetchmany(most_rows))
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise _meaning(error) from None


def _meaning(error: sqlite3.Error) -> SourceFault:
    said = str(error)
    cause = next((cause for words, cause in _MEANINGS if words in said), Cause.OTHER)
    return fault_of(cause, field="connectionConfig.path" if cause is Cause.BUSY else None, said=said)
