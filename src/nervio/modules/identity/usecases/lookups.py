"""Look-ups that are as fresh as a read of one's own and cost a fraction of it.

Whether a session or key still stands must be read from the database at every request: another process may have revoked
it a moment ago, and a revocation takes effect at once or it is none. A cache cannot give that. But requests that wait
at the same time may share a read, if only it began after each of them asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy import Connection

from nervio.db.database import Database

V = TypeVar("V")


class FreshLookups(Generic[V]):
    """`query(connection, names)` returns what was found by name. At most one read is under way; whoever asks meanwhile
    is answered by the next."""

    def __init__(self, database: Database, query: Callable[[Connection, Collection[str]], dict[str, V]]) -> None:
        self._database = database
        self._query = query
        self._waiting: dict[str, asyncio.Future[V | None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def find(self, name: str) -> V | None:
        """What stands under the name in a read that begins now or later; None without it."""
        loop = asyncio.get_running_loop()
        future = self._waiting.get(name)
        if future is None:
            future = self._waiting[name] = loop.create_future()
        if self._reader is None or self._reader.done():
            self._reader = loop.create_task(self._read_all(), name="nervio-identity-lookups")
        # Shielded: a caller that gives up must not take the answer away from others who wait for the same name.
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            read = asyncio.ensure_future(self._database.read(partial(self._find, list(asked))))
            await asyncio.wait([read])
            error = read.exception()
            for name, future in asked.items():
                if error is None:
                    future.set_result(read.result().get(name))
                else:
                    future.set_exception(error)

    def _find(self, names: list[str], connection: Connection) -> dict[str, V]:
        return self._query(connection, names)
