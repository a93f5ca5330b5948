"""What differs between the databases differs in nothing that a caller could see."""

from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    select,
)
from sqlalchemy.exc import IntegrityError

from nervio.db.dialects import dialect_of, for_name
from nervio.db.tables import Id
from nervio.db.writes import Insert, KeysRaced, Row, Update
from nervio.kernel.ids import new_id, new_ids
from tests.modules.db.conftest import on

goods = Table(
    "goods",
    MetaData(),
    Column("id", Id, primary_key=True),
    Column("label", Text, nullable=True),
    Column("amount", BigInteger, nullable=True),
    Column("active", Boolean, nullable=True),
    Column("digest", LargeBinary, nullable=True),
    Column("code", Text, nullable=True),
    UniqueConstraint("code"),
)
COLUMNS = ("id", "label", "amount", "active", "digest", "code")

TEXTS = [
    '{"a": [1, null]}',
    "[1,2]",
    "null",
    "",
    "NULL",
    "{}",
    "{1,NULL}",
    'it\'s "quoted"',
    "a\\b",
    "ñandú \U0001f9c9 \t\n",
    "%s $1 ?1 :x",
]


@pytest.fixture
async def goods_url(url: str) -> str:
    await on(url, goods.create)
    return url


def rows_in(connection: Connection) -> list[Row]:
    return [tuple(row) for row in connection.execute(select(goods).order_by(goods.c.id))]


def some_rows() -> list[Row]:
    ids = new_ids(len(TEXTS) + 2)
    rows: list[Row] = [(ids[n], text, n, n % 2 == 0, text.encode(), f"c{n}") for n, text in enumerate(TEXTS)]
    rows.append((ids[-2], None, None, None, None, None))
    rows.append((ids[-1], "big", -(2**63), True, bytes(range(256)), None))
    return rows


async def test_rows_come_back_as_they_were_written(goods_url: str) -> None:
    rows = some_rows()
    await on(goods_url, lambda connection: dialect_of(connection).apply(connection, [Insert(goods, COLUMNS, rows)]))
    assert await on(goods_url, rows_in) == rows


async def test_inserts_and_updates_of_one_flush_reach_every_row(goods_url: str) -> None:
    rows = some_rows()
    fresh: Row = (new_id(), "fresh", 1, False, b"", "fresh")

    def change(connection: Connection) -> None:
        dialect = dialect_of(connection)
        dialect.apply(connection, [Insert(goods, COLUMNS, rows)])
        dialect.apply(
            connection,
            [
                Update(goods, ("id",), ("label", "amount"), [(row[0], f"{row[1]}!", None) for row in rows[:3]]),
                Insert(goods, COLUMNS, [fresh]),
                Update(goods, ("id", "code"), ("active", "digest"), [(rows[4][0], "c4", None, b"new")]),
                Update(goods, ("id",), ("label",), []),
                Insert(goods, COLUMNS, []),
            ],
        )
        dialect.apply(connection, [])

    await on(goods_url, change)
    expected = {row[0]: row for row in [*rows, fresh]}
    for row in rows[:3]:
        expected[row[0]] = (row[0], f"{row[1]}!", None, *row[3:])
    expected[rows[4][0]] = (*rows[4][:3], None, b"new", "c4")
    assert await on(goods_url, rows_in) == sorted(expected.values())


async def test_an_update_of_a_row_that_is_not_there_changes_nothing(goods_url: str) -> None:
    await on(
        goods_url,
        lambda connection: dialect_of(connection).apply(
            connection, [Update(goods, ("id",), ("label",), [(new_id(), "x")])]
        ),
    )
    assert await on(goods_url, rows_in) == []


async def test_a_table_of_rows_joins_by_any_type_of_key(goods_url: str) -> None:
    rows = some_rows()

    def ask(connection: Connection) -> list[Row]:
        dialect = dialect_of(connection)
        dialect.apply(connection, [Insert(goods, COLUMNS, rows)])
        wanted = [goods.c.id, goods.c.label, goods.c.amount]
        asked = dialect.rows_table("asked", wanted)
        statement = select(asked.c.id, asked.c.label, asked.c.amount, goods.c.code).join_from(
            asked,
            goods,
            (goods.c.id == asked.c.id) & (goods.c.label == asked.c.label) & (goods.c.amount == asked.c.amount),
        )
        parameters = dialect.rows_parameters("asked", wanted, [row[:3] for row in rows] + [(new_id(), "no", 0)])
        return sorted(tuple(row) for row in connection.execute(statement, parameters))

    assert await on(goods_url, ask) == [(*row[:3], row[5]) for row in rows if row[1] is not None]


async def test_a_table_of_rows_may_be_empty_or_hold_nothing_but_null(goods_url: str) -> None:
    def ask(connection: Connection) -> list[list[Any]]:
        dialect = dialect_of(connection)
        asked = dialect.rows_table("asked", [goods.c.label])
        statement = select(asked.c.label)
        return [
            list(connection.execute(statement, dialect.rows_parameters("asked", [goods.c.label], rows)).scalars())
            for rows in ([], [(None,)], [("",), (None,)])
        ]

    assert await on(goods_url, ask) == [[], [None], ["", None]]


async def test_rows_that_are_there_by_any_unique_key_are_left_alone(goods_url: str) -> None:
    first: Row = (new_id(), "first", 1, True, b"1", "taken")
    second: Row = (new_id(), "second", 2, None, None, "free")

    def insert(connection: Connection) -> None:
        dialect = dialect_of(connection)
        dialect.insert_missing(connection, Insert(goods, COLUMNS, [first]))
        dialect.insert_missing(
            connection,
            Insert(
                goods,
                COLUMNS,
                [(first[0], "again", 0, None, None, None), (new_id(), "x", 0, None, None, "taken"), second],
            ),
        )

    await on(goods_url, insert)
    assert await on(goods_url, rows_in) == [first, second]


async def test_a_row_that_breaks_a_rule_takes_its_whole_flush_with_it(goods_url: str) -> None:
    rows: list[Row] = [(new_id(), "a", 1, True, b"", "same"), (new_id(), "b", 1, True, b"", "same")]
    with pytest.raises(IntegrityError):
        await on(goods_url, lambda connection: dialect_of(connection).apply(connection, [Insert(goods, COLUMNS, rows)]))
    assert await on(goods_url, rows_in) == []


async def test_a_key_that_somebody_else_wrote_meanwhile_is_told_apart_from_a_fault(goods_url: str) -> None:
    row: Row = (new_id(), "a", 1, True, b"", None)
    await on(goods_url, lambda connection: dialect_of(connection).apply(connection, [Insert(goods, COLUMNS, [row])]))
    with pytest.raises((KeysRaced, IntegrityError)):
        await on(
            goods_url,
            lambda connection: dialect_of(connection).apply(connection, [Insert(goods, COLUMNS, [row], may_race=True)]),
        )
    assert await on(goods_url, rows_in) == [row]


def test_a_database_that_is_not_supported_is_named() -> None:
    with pytest.raises(ValueError, match="SQLite and PostgreSQL, not on 'oracle'"):
        for_name("oracle")
