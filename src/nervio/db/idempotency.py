"""Idempotency keys and the answers they stand for: per tenant and operation, with a hash of the request's body.

An answer is stored with its key in one INSERT at the end of the transaction whose effect it describes. Two processes that
are handed the same request at once both decide it; the second to write finds the key taken, undoes everything, runs again
and finds the first one's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.tables import idempotency_keys
from nervio.db.writes import Insert, Row

Name = tuple[str, str, str]
"""(tenant_id, operation, key)"""

_K = idempotency_keys.c
_NAME = [_K.tenant_id, _K.operation, _K.key]


def find_answers(connection: Connection, dialect: Dialect, names: Sequence[Name]) -> dict[Name, tuple[bytes, str]]:
    """The keys that were answered before: name → (hash of the body, answer as JSON)."""
    rows = look_up(connection, _statement(dialect), dialect.rows_parameters("k", _NAME, names))
    return {(row[0], row[1], row[2]): (bytes(row[3]), row[4]) for row in rows}


def answers_to_store(rows: Sequence[Row]) -> Insert:
    """The write that stores answers: (tenant_id, operation, key, body_hash, recorded_at, reply).

    Sorted, so that two transactions with keys in common wait for each other in one order.
    """
    columns = ("tenant_id", "operation", "key", "body_hash", "recorded_at", "reply")
    return Insert(idempotency_keys, columns, sorted(rows, key=lambda row: row[:3]), may_race=True)


@cache
def _statement(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", _NAME)
    return select(*_NAME, _K.body_hash, _K.reply).join_from(
        k,
        idempotency_keys,
        (_K.tenant_id == k.c.tenant_id) & (_K.operation == k.c.operation) & (_K.key == k.c.key),
    )
