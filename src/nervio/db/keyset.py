"""Pages of a list by key: the rows behind or before a position, found by an index and not by counting rows off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, tuple_

from nervio.db.tenancy import TenantConnection


def read_page(
    connection: TenantConnection,
    statement: Select[Any],
    order: Sequence[ColumnElement[Any]],
    position: Sequence[Any] | None,
    limit: int,
    *,
    descending: bool = False,
    backwards: bool = False,
) -> list[Any]:
    """At most `limit` rows behind `position` in the order of the columns, or those just before it when `backwards`; always
    in the order of the list.

    `order` must tell every two rows apart, hold no nulls, and run one way, so that one comparison of rows finds the place.
    """
    falls = descending != backwards
    if position is not None:
        given = tuple_(*(bindparam(None, v, c.type, unique=True) for c, v in zip(order, position, strict=True)))
        statement = statement.where(tuple_(*order) < given if falls else tuple_(*order) > given)
    statement = statement.order_by(*(column.desc() if falls else column.asc() for column in order))
    rows = list(connection.execute(statement.limit(limit)))
    return rows[::-1] if backwards else rows
