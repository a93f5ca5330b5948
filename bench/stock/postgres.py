"""The usual ways of selling on PostgreSQL, each in plain SQL on asyncpg and as well made as we could make it.

Statements are prepared (asyncpg keeps them per connection), a single statement is its own transaction, a connection is
handed back without the reset round trip, the key is looked up only after a refusal, level rows leave room for
in-page updates. Each uses as many connections as were best for it on two cores among 2, 4, 8, 16, 32 and 64, for one SKU
and for many apart: on one, every further connection only queues for the same row and makes the others slower.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import asyncpg

from bench.stock import database
from bench.stock.contender import Audit

_TABLES = """
CREATE TABLE movement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    sku integer NOT NULL,
    quantity bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE level (sku integer PRIMARY KEY, on_hand bigint NOT NULL CHECK (on_hand >= 0)) WITH (fillfactor = 50);
"""
_ASKED_AGAIN = "SELECT EXISTS (SELECT FROM movement WHERE key = $1)"
_MOVE = "INSERT INTO movement (key, sku, quantity) VALUES ($1, $2, 1)"


async def _no_reset(_connection: asyncpg.Connection) -> None:
    """Leave the session as it is: no contender sets session state, and the usual reset costs a round trip a sale."""


class PostgresPeer(ABC):
    """Database, pool, level and movement tables; what differs is `sale`, one durable sale on a connection."""

    durable = True
    label: str
    # Connections in use at once where one SKU is sold, and where many are.
    for_one: int
    for_many: int
    session: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        self._units: list[int] = []
        self._turns = asyncio.Semaphore(0)
        self._url: str | None = None
        self._pool: asyncpg.Pool | None = None

    @property
    def pool(self) -> asyncpg.Pool:
        assert self._pool is not None, "start comes first"
        return self._pool

    async def start(self, workdir: Path) -> None:
        self._url = await database.create(self.label)
        connections = max(self.for_one, self.for_many)
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=connections,
            max_size=connections,
            reset=_no_reset,
            server_settings=dict(self.session),
        )
        await self.create_tables()

    async def create_tables(self) -> None:
        await self.pool.execute(_TABLES)

    async def prepare(self, units: Sequence[int]) -> None:
        assert self._url is not None, "start comes first"
        self._units = list(units)
        self._turns = asyncio.Semaphore(self.for_one if len(units) == 1 else self.for_many)
        await self.fill(self._units)
        await database.settle(self._url)

    async def fill(self, units: Sequence[int]) -> None:
        await self.pool.execute("TRUNCATE movement, level")
        await self.pool.execute(
            "INSERT INTO level SELECT * FROM unnest($1::integer[], $2::bigint[])", list(range(len(units))), list(units)
        )

    async def sell(self, sku_index: int, key: str) -> bool:
        # The pool alone lets a caller that just gave a connection back take it again past those who wait.
        async with self._turns, self.pool.acquire() as connection:
            try:
                sold = await self.sale(connection, sku_index, key)
            except asyncpg.UniqueViolationError:
                # The key was there already: its sale stands, and this transaction left nothing behind.
                return True
            # Refused, or sold when there still were units and asked for again?
            return sold or await connection.fetchval(_ASKED_AGAIN, key) is True

    @abstractmethod
    async def sale(self, connection: asyncpg.Connection, sku: int, key: str) -> bool:
        """Sell one unit durably; raises UniqueViolationError, with everything rolled back, for a key sold before."""

    async def sold(self) -> list[int]:
        rows = await self.pool.fetch("SELECT sku, on_hand FROM level ORDER BY sku")
        return [self._units[row["sku"]] - row["on_hand"] for row in rows]

    async def audit(self) -> Audit:
        movements = await self.pool.fetchval("SELECT coalesce(sum(quantity), 0)::bigint FROM movement")
        return Audit(sold=await self.sold(), movements=movements)

    async def stop(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
        if self._url is not None:
            await database.drop(self._url)


class ForUpdate(PostgresPeer):
    """SELECT … FOR UPDATE, decide in the program, UPDATE (the shape of Saleor and of most ORMs)."""

    label = "for_update"
    for_one, for_many = 2, 16

    async def sale(self, connection: asyncpg.Connection, sku: int, key: str) -> bool:
        async with connection.transaction():
            on_hand = await connection.fetchval("SELECT on_hand FROM level WHERE sku = $1 FOR UPDATE", sku)
            if on_hand < 1:
                return False
            await connection.execute("UPDATE level SET on_hand = $2 WHERE sku = $1", sku, on_hand - 1)
            await connection.execute(_MOVE, key, sku)
            return True


class ConditionalUpdate(PostgresPeer):
    """UPDATE … WHERE on_hand >= 1, with the movement in the same statement: one round trip, one commit."""

    label = "conditional_update"
    for_one, for_many = 4, 16
    _SALE = """
        WITH sold AS (UPDATE level SET on_hand = on_hand - 1 WHERE sku = $2 AND on_hand >= 1 RETURNING sku)
        INSERT INTO movement (key, sku, quantity) SELECT $1, sku, 1 FROM sold RETURNING true
    """

    async def sale(self, connection: asyncpg.Connection, sku: int, key: str) -> bool:
        return await connection.fetchval(self._SALE, key, sku) is True


class SkipLocked(PostgresPeer):
    """One row a unit, claimed with FOR UPDATE SKIP LOCKED through a partial index (the shape of Shopify in 2026)."""

    label = "skip_locked"
    for_one, for_many = 32, 32
    # For LIMIT 1 the planner reads the table from its start, past every unit that was sold; the partial index does not.
    session: ClassVar[Mapping[str, str]] = {"enable_seqscan": "off"}
    _SALE = """
        WITH sold AS (
            UPDATE unit SET sold = true
            WHERE ctid = (SELECT ctid FROM unit WHERE sku = $2 AND NOT sold LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING sku
        )
        INSERT INTO movement (key, sku, quantity) SELECT $1, sku, 1 FROM sold RETURNING true
    """

    async def create_tables(self) -> None:
        await super().create_tables()
        await self.pool.execute("""
            CREATE TABLE unit (id bigint PRIMARY KEY, sku integer NOT NULL, sold boolean NOT NULL DEFAULT false)
                WITH (fillfactor = 50);
            CREATE INDEX unit_free ON unit (sku) WHERE NOT sold;
        """)

    async def fill(self, units: Sequence[int]) -> None:
        await self.pool.execute("TRUNCATE movement, unit")
        await self.pool.execute(
            """
            INSERT INTO unit (id, sku)
            SELECT row_number() OVER (), sku
            FROM unnest($1::integer[], $2::bigint[]) AS there (sku, units), generate_series(1, units)
            """,
            list(range(len(units))),
            list(units),
        )

    async def sale(self, connection: asyncpg.Connection, sku: int, key: str) -> bool:
        return await connection.fetchval(self._SALE, key, sku) is True

    async def sold(self) -> list[int]:
        rows = await self.pool.fetch("SELECT sku, count(*) AS units FROM unit WHERE sold GROUP BY sku")
        by_sku = {row["sku"]: row["units"] for row in rows}
        return [by_sku.get(sku, 0) for sku in range(len(self._units))]


class ReadCheckWrite(PostgresPeer):
    """Read, check in the program, write the absolute value, no lock: it oversells, and is here to show that."""

    label = "read_check_write"
    for_one, for_many = 16, 16

    async def sale(self, connection: asyncpg.Connection, sku: int, key: str) -> bool:
        async with connection.transaction():
            on_hand = await connection.fetchval("SELECT on_hand FROM level WHERE sku = $1", sku)
            if on_hand < 1:
                return False
            await connection.execute("UPDATE level SET on_hand = $2 WHERE sku = $1", sku, on_hand - 1)
            await connection.execute(_MOVE, key, sku)
            return True
