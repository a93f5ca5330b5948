"""Sources of every kind: the same rows whatever the database, nothing ever written, and faults that name what to change."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pymysql
import pytest

from nervio.adapters.sources.mysql import MySQLSource
from nervio.adapters.sources.postgresql import PostgreSQLSource
from nervio.adapters.sources.sqlite import SqliteSource
from nervio.kernel.ids import new_id
from nervio.modules.sync.domain.queries import Dialect, Statement, read_query
from nervio.ports.sources import Address, Cause, Rows, Source, SourceFault
from tests import services

PRODUCTS = [(f"P{n:03d}", f"Producto «{n}» 100 %", n * 100, f"2026-01-{1 + n % 28:02d}") for n in range(120)]
TABLE = "CREATE TABLE products (code VARCHAR(20) PRIMARY KEY, name VARCHAR(100), price INTEGER, changed VARCHAR(10))"
TEMPLATE = "SELECT code, name, price, changed FROM products ORDER BY name LIMIT {{limit}} OFFSET {{offset}}"
QUERY = "queryTemplate"


@dataclass
class Shop:
    """A database with products, and how one reaches it."""

    dialect: Dialect
    open: Callable[[], Source]
    """Another connection."""
    run: Callable[[str], Any]
    """Something done there by somebody else, who may write."""
    slow: str
    """A query that takes long."""


def on_sqlite(folder: Path) -> Shop:
    path = folder / "shop's own.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", PRODUCTS)
        connection.commit()

    async def run(sql: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(sql)
            connection.commit()

    slow = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) AS n FROM c"
    return Shop(Dialect.SQLITE, lambda: SqliteSource(path), run, slow)


@asynccontextmanager
async def on_postgresql() -> AsyncIterator[Shop]:
    at = urlsplit(services.url("postgres").replace("+asyncpg", ""))
    address = Address(
        at.hostname or "",
        at.port or 5432,
        f"source_{new_id()[-12:]}",
        at.username or "postgres",
        at.password or "",
        False,
    )
    admin = await asyncpg.connect(at.geturl())
    try:
        await admin.execute(f'CREATE DATABASE "{address.database}"')
        own = await asyncpg.connect(at._replace(path=f"/{address.database}").geturl())
        try:
            await own.execute(TABLE)
            await own.executemany("INSERT INTO products VALUES ($1, $2, $3, $4)", PRODUCTS)
            yield Shop(Dialect.POSTGRESQL, lambda: PostgreSQLSource(address), own.execute, "SELECT pg_sleep(30) AS n")
        finally:
            await own.close()
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{address.database}" WITH (FORCE)')
        await admin.close()


def mariadb_address() -> Address:
    at = urlsplit(services.url("mariadb"))
    return Address(at.hostname or "", at.port or 3306, "", at.username or "root", at.password or "", False)


@asynccontextmanager
async def on_mariadb() -> AsyncIterator[Shop]:
    at = mariadb_address()
    address = replace(at, database=f"source_{new_id()[-12:]}")
    with closing(
        pymysql.connect(host=at.host, port=at.port, user=at.user, password=at.password, autocommit=True)
    ) as admin:
        cursor = admin.cursor()
        cursor.execute(f"CREATE DATABASE `{address.database}` CHARACTER SET utf8mb4")
        try:
            cursor.execute(f"USE `{address.database}`")
            cursor.execute(TABLE)
            cursor.executemany("INSERT INTO products VALUES (%s, %s, %s, %s)", PRODUCTS)

            async def run(sql: str) -> None:
                cursor.execute(sql)

            yield Shop(Dialect.MYSQL, lambda: MySQLSource(address), run, "SELECT SLEEP(30) AS n")
        finally:
            cursor.execute(f"DROP DATABASE `{address.database}`")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.services("postgres")),
        pytest.param("mariadb", marks=pytest.mark.services("mariadb")),
    ]
)
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    """Each of the databases."""
    if request.param == "sqlite":
        yield on_sqlite(tmp_path)
    else:
        async with on_postgresql() if request.param == "postgresql" else on_mariadb() as furnished:
            yield furnished


async def ask(source: Source, statement: Statement, most_rows: int = 1_000) -> Rows:
    return await source.ask(statement.sql, statement.values, seconds=10, most_rows=most_rows)


async def fault_of(source: Source, sql: str, *, seconds: float = 10) -> SourceFault:
    try:
        with pytest.raises(SourceFault) as fault:
            await source.ask(sql, {}, seconds=seconds, most_rows=10)
    finally:
        await source.close()
    return fault.value


async def test_pages_by_key_are_the_whole_while_rows_go(shop: Shop) -> None:
    query, source = read_query(TEMPLATE, shop.dialect), shop.open()
    found: list[tuple[Any, ...]] = []
    gone = iter(range(0, 120, 7))
    while page := (await ask(source, query.page(["code"], [found[-1][0]] if found else None, 10))).rows:
        found += page
        await shop.run(f"DELETE FROM products WHERE code = 'P{next(gone):03d}'")  # noqa: S608
    (count,) = (await ask(source, query.count())).rows
    left = (await ask(source, query.page(["code"], None, 1_000))).rows
    await source.close()
    assert len(left) == count[0]
    assert set(left) <= set(found) <= set(PRODUCTS)
    assert len(found) == len(set(found))


async def test_columns_codes_keys_dates_and_offsets(shop: Shop) -> None:
    query, source = read_query(TEMPLATE, shop.dialect), shop.open()
    some = await ask(source, query.by_codes("code", ["P007", "nobody's", "P100"]))
    assert some.columns == ("code", "name", "price", "changed")
    assert sorted(some.rows) == [PRODUCTS[7], PRODUCTS[100]]
    assert (await ask(source, query.keys(["code"], ["P117"], 10))).rows == [("P118",), ("P119",)]
    recent = await ask(source, query.page(["code"], None, 1_000, since=("changed", "2026-01-28")))
    assert [row[0] for row in recent.rows] == [row[0] for row in PRODUCTS if row[3] == "2026-01-28"]
    assert len((await ask(source, query.at_offset(110, 50))).rows) == 10
    assert len((await ask(source, query.page(["code"], None, 1_000), most_rows=5)).rows) == 5
    assert (await ask(source, query.count())).rows == [(120,)], "it is asked on after an answer that was cut"
    await source.close()


async def test_nothing_is_ever_written(shop: Shop) -> None:
    for sql in ("CREATE TABLE theirs (n INTEGER)", "DELETE FROM products", "INSERT INTO products (code) VALUES ('X')"):
        fault = await fault_of(shop.open(), sql)
        assert (fault.cause, fault.field) == (Cause.WRITES, QUERY), sql
    source = shop.open()
    assert (await ask(source, read_query(TEMPLATE, shop.dialect).count())).rows == [(120,)]
    await source.close()


@pytest.mark.parametrize(
    ("sql", "cause"),
    [
        ("SELECT a FROM nowhere", Cause.UNKNOWN_TABLE),
        ("SELECT nonsuch FROM products", Cause.UNKNOWN_COLUMN),
        ("SELECT code FROM products p, products q", Cause.AMBIGUOUS_COLUMN),
        ("SELECT nofunction(1) AS a", Cause.UNKNOWN_FUNCTION),
        ("SELEC 1", Cause.BAD_SQL),
    ],
)
async def test_what_is_wrong_with_a_query_is_named(shop: Shop, sql: str, cause: Cause) -> None:
    fault = await fault_of(shop.open(), sql)
    assert (fault.cause, fault.field, fault.may_pass) == (cause, QUERY, False)
    assert fault.said


async def test_who_takes_too_long_is_stopped_and_may_be_asked_again(shop: Shop) -> None:
    source = shop.open()
    started = asyncio.get_running_loop().time()
    with pytest.raises(SourceFault) as fault:
        await source.ask(shop.slow, {}, seconds=0.3, most_rows=10)
    assert (fault.value.cause, fault.value.may_pass) == (Cause.TOO_SLOW, True)
    assert asyncio.get_running_loop().time() - started < 5
    assert (await ask(source, read_query(TEMPLATE, shop.dialect).count())).rows == [(120,)]
    await source.close()


# -- reaching a server ---------------------------------------------------------------------------------------------------

Open = Callable[[Address], Source]
SERVERS: list[Any] = [
    pytest.param(
        "postgres", lambda at: PostgreSQLSource(at, connect_seconds=1), marks=pytest.mark.services("postgres")
    ),
    pytest.param("mariadb", lambda at: MySQLSource(at, connect_seconds=1), marks=pytest.mark.services("mariadb")),
]


def address_of(server: str) -> Address:
    if server == "mariadb":
        return replace(mariadb_address(), database="test")
    at = urlsplit(services.url("postgres"))
    return Address(at.hostname or "", at.port or 5432, "postgres", at.username or "postgres", at.password or "", False)


@asynccontextmanager
async def a_port(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A port at which something listens that is no database."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(("server", "open_at"), SERVERS)
@pytest.mark.parametrize(
    ("change", "cause", "field"),
    [
        ({"host": "a..b"}, Cause.HOST_UNKNOWN, "connectionConfig.host"),
        ({"port": 1}, Cause.REFUSED, "connectionConfig.port"),
        ({"database": "there is none"}, Cause.NO_DATABASE, "connectionConfig.database"),
        ({"user": "nobody", "password": "wrong"}, Cause.NOT_LET_IN, "connectionConfig.password"),
        ({"tls": True, "ca": "rubbish"}, Cause.CERTIFICATE, "connectionConfig.ca"),
    ],
)
async def test_what_keeps_one_out_is_named(
    server: str, open_at: Open, change: dict[str, Any], cause: Cause, field: str
) -> None:
    fault = await fault_of(open_at(replace(address_of(server), **change)), "SELECT 1 AS a")
    assert (fault.cause, fault.field) == (cause, field), fault.said


@pytest.mark.parametrize(("server", "open_at"), SERVERS)
async def test_what_is_no_database_is_told_from_one_that_does_not_answer(server: str, open_at: Open) -> None:
    async def http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    ended = asyncio.Event()

    async def nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    for talk, cause in ((http, Cause.NOT_THIS_DATABASE), (close, Cause.NOT_THIS_DATABASE), (nothing, Cause.NO_ANSWER)):
        async with a_port(talk) as port:
            fault = await fault_of(open_at(replace(address_of(server), host="127.0.0.1", port=port)), "SELECT 1 AS a")
            assert fault.cause is cause, fault.said
    ended.set()


@pytest.mark.parametrize(
    ("make", "cause"), [(None, Cause.NO_FILE), (b"no database at all" * 99, Cause.NOT_A_FILE_OF_IT)]
)
async def test_a_file_that_is_no_database_is_named(tmp_path: Path, make: bytes | None, cause: Cause) -> None:
    path = tmp_path / "shop.db"
    if make is not None:
        path.write_bytes(make)
    fault = await fault_of(SqliteSource(path), "SELECT * FROM products")
    assert (fault.cause, fault.field) == (cause, "connectionConfig.path")
