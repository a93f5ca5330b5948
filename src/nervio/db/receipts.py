"""Receipts: the inbox rows by which the effect of an event happens once, each written in the transaction of its effect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.tables import inbox
from nervio.db.writes import Insert, Row

Name = tuple[str, str]
"""(handler, event_id)"""

_I = inbox.c
_NAME = [_I.handler, _I.event_id]


def find_received(connection: Connection, dialect: Dialect, names: Sequence[Name]) -> dict[Name, str | None]:
    """The events that were received before: name → reply as JSON, None where the effect was no command's."""
    rows = look_up(connection, _statement(dialect), dialect.rows_parameters("r", _NAME, names))
    return {(row[0], row[1]): row[2] for row in rows}


def receipts_to_store(rows: Sequence[Row]) -> Insert:
    """The write that stores receipts: (handler, event_id, recorded_at, reply). Of two deliveries that meet, the second finds
    the row taken, undoes everything and runs again."""
    columns = ("handler", "event_id", "recorded_at", "reply")
    return Insert(inbox, columns, sorted(rows, key=lambda row: row[:2]), may_race=True)


@cache
def _statement(dialect: Dialect) -> Select[Any]:
    r = dialect.rows_table("r", _NAME)
    return select(*_NAME, _I.reply).join_from(r, inbox, (_I.handler == r.c.handler) & (_I.event_id == r.c.event_id))
