"""Who takes part, in one literal table. The order is that of the report; each round starts one contender further on."""

from bench.stock.contender import Entry
from bench.stock.medusa import Medusa
from bench.stock.ours import HttpOnPostgres, HttpOnSqlite, OnPostgres, OnSqlite, TicketsOnPostgres, TicketsOnSqlite
from bench.stock.postgres import ConditionalUpdate, ForUpdate, ReadCheckWrite, SkipLocked
from bench.stock.redis_peers import RedisLock, RedisScript

ENTRIES: tuple[Entry, ...] = (
    Entry("ours_sqlite", OnSqlite, ours=True, remark="Nervio, library, SQLite; a unit issued"),
    Entry("ours_postgres", OnPostgres, ours=True, slow_disk=True, remark="library, PostgreSQL; a unit issued"),
    Entry("ours_sqlite_ticket", TicketsOnSqlite, ours=True, full_only=True, remark="library, SQLite; a whole ticket"),
    Entry("ours_postgres_ticket", TicketsOnPostgres, ours=True, full_only=True, remark="library, PostgreSQL; a ticket"),
    Entry("ours_sqlite_http", HttpOnSqlite, ours=True, remark="Nervio, server on SQLite; a whole ticket over HTTP"),
    Entry("ours_postgres_http", HttpOnPostgres, ours=True, remark="server on PostgreSQL; a whole ticket over HTTP"),
    Entry("for_update", ForUpdate, slow_disk=True, remark="PostgreSQL, SELECT FOR UPDATE, then UPDATE"),
    Entry(
        "conditional_update",
        ConditionalUpdate,
        slow_disk=True,
        remark="PostgreSQL, UPDATE WHERE on_hand >= 1, one statement",
    ),
    Entry("skip_locked", SkipLocked, slow_disk=True, remark="PostgreSQL, a row a unit, SKIP LOCKED"),
    Entry("redis_setnx", RedisLock, remark="Redis lock a SKU around a PostgreSQL transaction"),
    Entry("redis_lua", RedisScript, remark="Redis script; not durable"),
    Entry(
        "medusa",
        Medusa,
        full_only=True,
        remark="@medusajs/inventory, createReservationsWorkflow (lock an item, reservation row, level); no idempotency key",
    ),
    Entry("read_check_write", ReadCheckWrite, example_only=True, remark="no lock: shown because it oversells"),
)
