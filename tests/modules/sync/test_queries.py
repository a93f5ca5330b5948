"""Queries that people write: what is refused and why, and pages that lose no row while the source changes."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.sync.domain.queries import LARGEST_PAGE, Dialect, Query, Statement, read_query

TEMPLATE = "SELECT code, name, price FROM products ORDER BY name LIMIT {{limit}} OFFSET {{ offset }}"
EVERY = list(Dialect)


def refusal_of(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> NervioError:
    with pytest.raises(NervioError) as refusal:
        read_query(text, dialect)
    assert refusal.value.kind is Kind.INVALID
    assert refusal.value.data["field"] == "queryTemplate"
    return refusal.value


@pytest.mark.parametrize("dialect", EVERY)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "query_empty"),
        (" \n", "query_empty"),
        ("-- nothing", "query_empty"),
        ("SELECT a FROM t; DROP TABLE t", "query_many_statements"),
        ("DROP TABLE t", "query_writes"),
        ("DELETE FROM t", "query_writes"),
        ("UPDATE t SET a = 1", "query_writes"),
        ("INSERT INTO t VALUES (1)", "query_writes"),
        ("SELECT a FROM t\0", "query_has_nul"),
        ("SELECT a FROM t WHERE (", "query_unreadable"),
        ("SELECT ':nervio_after_0' AS a FROM t", "query_has_parameter"),
        ("SELECT a FROM t WHERE b = {{code}}", "unknown_placeholder"),
        ("SELECT a FROM t WHERE n > {{offset}} LIMIT {{limit}}", "paging_inside"),
        ("SELECT a, b AS a FROM t", "column_twice"),
        ("SELECT a, A FROM t", "column_twice"),
        ("SELECT a, count(*) FROM t", "column_without_name"),
        ("(" * 5_000 + "SELECT 1 AS a" + ")" * 5_000, "query_unreadable"),
        ("SELECT '" + "x" * 100_000 + "' AS a", "query_too_long"),
    ],
)
def test_what_is_no_query_is_refused_with_the_reason(dialect: Dialect, text: str, code: str) -> None:
    assert refusal_of(text, dialect).code == code


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (Dialect.POSTGRESQL, "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone"),
        (Dialect.POSTGRESQL, "SELECT * INTO copy FROM t"),
        (Dialect.POSTGRESQL, "SELECT a FROM t FOR UPDATE"),
        (Dialect.POSTGRESQL, "COPY t TO 'somewhere'"),
        (Dialect.POSTGRESQL, "CALL something()"),
        (Dialect.POSTGRESQL, "SELECT a, PG_SLEEP(100) AS b FROM t"),
        (Dialect.POSTGRESQL, "SELECT a FROM t WHERE pg_catalog.pg_read_file('/etc/passwd') IS NOT NULL"),
        (Dialect.POSTGRESQL, "SELECT nextval('t_id_seq') AS n"),
        (Dialect.POSTGRESQL, "SELECT * FROM dblink('host=x', 'DROP TABLE t') AS t(a int)"),
        (Dialect.MYSQL, "SELECT a FROM t INTO OUTFILE 'somewhere'"),
        (Dialect.MYSQL, "SELECT a, SLEEP(100) AS b FROM t"),
        (Dialect.MYSQL, "SELECT LOAD_FILE('/etc/passwd') AS a"),
        (Dialect.MYSQL, "SELECT a FROM t LOCK IN SHARE MODE"),
        (Dialect.MSSQL, "SELECT a INTO copy FROM t"),
        (Dialect.MSSQL, "EXEC xp_cmdshell 'dir'"),
        (Dialect.MSSQL, "SELECT * FROM OPENROWSET('SQLNCLI', 'x', 'DROP TABLE t') AS t"),
        (Dialect.SQLITE, "PRAGMA writable_schema = 1"),
        (Dialect.SQLITE, "ATTACH DATABASE 'x' AS y"),
        (Dialect.SQLITE, "SELECT load_extension('x') AS a"),
    ],
)
def test_what_does_more_than_to_read_is_refused(dialect: Dialect, text: str) -> None:
    assert refusal_of(text, dialect).code in {"query_writes", "query_acts", "query_no_select", "query_unreadable"}


def test_what_mysql_would_carry_out_of_a_comment_is_not_sent() -> None:
    query = read_query("SELECT code /*!50000 , SLEEP(100) */ FROM t -- and this", Dialect.MYSQL)
    assert "SLEEP" not in query.page(["code"], None, 10).sql


@pytest.mark.parametrize("dialect", EVERY)
def test_a_column_that_is_not_there_is_named_with_those_that_are(dialect: Dialect) -> None:
    query = read_query(TEMPLATE if dialect is not Dialect.MSSQL else "SELECT code, name, price FROM p", dialect)
    with pytest.raises(NervioError, match="code, name, price") as refusal:
        query.page(["sku"], None, 10)
    assert refusal.value.data["column"] == "sku"
    query.page(["CODE"], None, 10)


def test_sql_server_pages_with_top_and_keeps_its_with_in_front() -> None:
    text = "WITH p AS (SELECT code FROM dbo.products) SELECT code FROM p ORDER BY code OFFSET {{offset}} ROWS FETCH NEXT {{limit}} ROWS ONLY"
    query = read_query(text, Dialect.MSSQL)
    assert query.page(["code"], ["A"], 50).sql == (
        "WITH p AS (SELECT code AS code FROM dbo.products) SELECT TOP 50 nervio_page.* FROM (SELECT code AS code FROM p) AS nervio_page "
        "WHERE NOT nervio_page.[code] IS NULL AND nervio_page.[code] > :nervio_after_0 ORDER BY nervio_page.[code]"
    )
    assert query.at_offset(100, 50).sql.endswith("ORDER BY code OFFSET 100 ROWS FETCH NEXT 50 ROWS ONLY")


@pytest.mark.parametrize("limit", [0, -1, LARGEST_PAGE + 1])
def test_a_page_has_a_limit(limit: int) -> None:
    query = read_query(TEMPLATE, Dialect.SQLITE)
    asks: tuple[Callable[[], Statement], ...] = (
        lambda: query.page(["code"], None, limit),
        lambda: query.at_offset(0, limit),
        lambda: query.preview(limit),
    )
    for ask in asks:
        with pytest.raises(NervioError) as refusal:
            ask()
        assert refusal.value.data["field"] == "limit"


@pytest.mark.parametrize("count", [0, 501])
def test_one_to_five_hundred_codes_are_asked_for_at_once(count: int) -> None:
    with pytest.raises(NervioError) as refusal:
        read_query(TEMPLATE, Dialect.SQLITE).by_codes("code", ["x"] * count)
    assert refusal.value.data["field"] == "codes"


def test_without_a_key_a_query_must_say_where_a_page_begins() -> None:
    with pytest.raises(NervioError) as refusal:
        read_query("SELECT code FROM products", Dialect.SQLITE).at_offset(0, 10)
    assert refusal.value.code == "no_paging"


# -- on a database -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE products (code TEXT, shop INTEGER, name TEXT, price INTEGER, changed TEXT)")
        rows = [
            (f"P{n:04d}", n % 3, f"Name {n * 7919 % 1000:04d}", n, f"2026-01-{1 + n % 28:02d}") for n in range(1_000)
        ]
        connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?)", rows)
        yield connection


def rows_of(shop: sqlite3.Connection, statement: Statement) -> list[tuple[Any, ...]]:
    """What SQLite answers; it knows `:name`."""
    values: Mapping[str, Any] = statement.values
    assert set(re.findall(r":(nervio_\w+)", statement.sql)) == set(values)
    return shop.execute(statement.sql, values).fetchall()


def read_all(
    shop: sqlite3.Connection, query: Query, key: list[str], limit: int, disturb: Any = None
) -> list[tuple[Any, ...]]:
    """Page by page; `disturb` is called after each."""
    found: list[tuple[Any, ...]] = []
    after = None
    while page := rows_of(shop, query.page(key, after, limit)):
        found += page
        names = [name.lower() for name in query.columns or ()]
        after = [page[-1][names.index(name)] for name in key]
        if disturb is not None:
            disturb()
    return found


def test_pages_by_key_lose_nothing_while_rows_go_and_those_at_offsets_do(shop: sqlite3.Connection) -> None:
    query = read_query(TEMPLATE, Dialect.SQLITE)
    gone = iter(range(0, 1_000, 10))

    def disturb() -> None:
        shop.execute("DELETE FROM products WHERE code = ?", (f"P{next(gone):04d}",))

    found = [row[0] for row in read_all(shop, query, ["code"], 50, disturb)]
    stayed = {row[0] for row in shop.execute("SELECT code FROM products")}
    assert stayed <= set(found)
    assert len(found) == len(set(found))

    at_offsets: list[str] = []
    while page := rows_of(shop, query.at_offset(len(at_offsets), 50)):
        at_offsets += [row[0] for row in page]
        shop.execute("DELETE FROM products WHERE code IN (SELECT code FROM products ORDER BY name LIMIT 5)")
    assert {row[0] for row in shop.execute("SELECT code FROM products")} - set(at_offsets), "what OFFSET loses"


def test_a_key_may_have_several_columns(shop: sqlite3.Connection) -> None:
    query = read_query("SELECT shop, code, name FROM products", Dialect.SQLITE)
    found = read_all(shop, query, ["shop", "code"], 7)
    assert found == shop.execute("SELECT shop, code, name FROM products ORDER BY shop, code").fetchall()


def test_rows_since_a_date_rows_of_codes_keys_and_a_count(shop: sqlite3.Connection) -> None:
    query = read_query(TEMPLATE, Dialect.SQLITE)
    assert rows_of(shop, query.count()) == [(1_000,)]
    assert len(rows_of(shop, query.preview(5))) == 5
    assert rows_of(shop, query.keys(["code"], ["P0997"], 10)) == [("P0998",), ("P0999",)]
    assert [row[0] for row in rows_of(shop, query.by_codes("code", ["P0001", "nobody's"]))] == ["P0001"]
    dated = read_query("SELECT code, changed FROM products", Dialect.SQLITE)
    recent = rows_of(shop, dated.page(["code"], None, 1_000, since=("changed", "2026-01-28")))
    assert len(recent) == shop.execute("SELECT count(*) FROM products WHERE changed >= '2026-01-28'").fetchone()[0]


def test_a_limit_of_its_own_and_text_that_looks_like_a_parameter_stay(shop: sqlite3.Connection) -> None:
    query = read_query("SELECT code, '12:30' AS at FROM products ORDER BY code DESC LIMIT 3", Dialect.SQLITE)
    assert rows_of(shop, query.page(["code"], None, 10)) == [(f"P0{n}", "12:30") for n in (997, 998, 999)]


@given(
    st.lists(st.tuples(st.integers(0, 3) | st.none(), st.text(max_size=3) | st.none()), max_size=30, unique=True),
    st.integers(1, 7),
)
def test_every_row_with_a_key_comes_exactly_once(rows: list[tuple[int | None, str | None]], limit: int) -> None:
    rows = [(n, None if text is None else text.replace("\0", "").encode(errors="replace").decode()) for n, text in rows]
    rows = list(dict.fromkeys(rows))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        found = read_all(connection, read_query("SELECT a, b FROM t", Dialect.SQLITE), ["a", "b"], limit)
    whole = [row for row in rows if None not in row]
    assert len(found) == len(whole)
    assert set(found) == set(whole)
