"""Reads facts back out of the outbox in the one order, and marks events as received once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, func, or_, select

from nervio.db.dialects import dialect_of
from nervio.db.tables import commits, inbox, outbox
from nervio.db.writes import Insert
from nervio.kernel.time import Instant
from nervio.ports.bus import Event


def read_after(connection: Connection, position: int, n: int, limit: int, tenant_id: str | None = None) -> list[Event]:
    """The next events after `(position, n)`, at most `limit`; of one tenant, or of all."""
    statement = _after(tenant_id is not None)
    rows = connection.execute(statement, {"after": position, "n": n, "most": limit, "tenant": tenant_id})
    return [
        Event(
            id=row.id,
            type=row.type,
            tenant_id=row.tenant_id,
            key=row.key,
            position=row.position,
            n=row.n,
            recorded_at=row.recorded_at,
            payload=json.loads(row.payload),
        )
        for row in rows
    ]


def last_position(connection: Connection) -> int:
    """The newest position there is; 0 in an empty store."""
    return connection.execute(select(func.max(commits.c.position))).scalar() or 0


def receive_once(
    connection: Connection,
    handler: str,
    event: Event,
    now: Instant,
    effect: Callable[[Connection, Event], None],
) -> bool:
    """Runs `effect` in the same transaction that marks the event as received by `handler`; False when it already was.

    At least once on the wire becomes once in effect: a second delivery finds the mark, a crash leaves neither.
    """
    known = connection.execute(
        select(inbox.c.event_id).where(inbox.c.handler == handler, inbox.c.event_id == event.id)
    ).first()
    if known is not None:
        return False
    row = (handler, event.id, now)
    dialect_of(connection).apply(connection, [Insert(inbox, ("handler", "event_id", "recorded_at"), [row])])
    effect(connection, event)
    return True


@cache
def _after(of_tenant: bool) -> Select[tuple[str, str, str, str, str, int, int, Instant]]:
    c, o = commits.c, outbox.c
    after: BindParameter[int] = bindparam("after")
    statement = (
        select(o.id, o.type, o.tenant_id, o.key, o.payload, o.n, c.position, c.recorded_at)
        .join_from(commits, outbox, o.commit_id == c.id)
        .where(or_(c.position > after, and_(c.position == after, o.n > bindparam("n"))))
        .order_by(c.position, o.n)
        .limit(bindparam("most"))
    )
    return statement.where(o.tenant_id == bindparam("tenant")) if of_tenant else statement


__all__: Sequence[str] = ["last_position", "read_after", "receive_once"]
