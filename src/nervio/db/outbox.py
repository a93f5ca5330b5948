"""Reads facts back out of the outbox in the one order, and marks events as received once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, delete, func, or_, select, update

from nervio.db.dialects import Dialect, dialect_of
from nervio.db.tables import commits, cursors, inbox, outbox
from nervio.db.writes import Insert
from nervio.kernel.time import Instant
from nervio.ports.bus import Event

REPLAY = "relay:replay"
"""The cursor by which somebody asks the relay to go back."""
LOOK_BACK = 20_000
NEWEST_IDS = 200


def read_after(
    connection: Connection,
    position: int,
    n: int,
    limit: int,
    tenant_id: str | None = None,
    types: Collection[str] | None = None,
) -> list[Event]:
    """The next events after `(position, n)`, at most `limit`; of one tenant or of all, of some types or of all."""
    parameters: dict[str, Any] = {"after": position, "n": n, "most": limit, "tenant": tenant_id}
    if types is not None:
        parameters["types"] = list(types)
    statement = _after(dialect_of(connection), tenant_id is not None, types is not None)
    return _events(connection.execute(statement, parameters))


def list_newest(connection: Connection, tenant_id: str, types: Collection[str], limit: int) -> list[Event]:
    """A tenant's newest events, the newest first; of some types, or of all where none is named. Looks through the newest
    `LOOK_BACK` commits, so that it costs no more in a shop that has told little for long."""
    dialect, c, o = dialect_of(connection), commits.c, outbox.c
    tenant = dialect.not_by_index(o.tenant_id) == tenant_id
    statement = (
        select(o.id, o.type, o.tenant_id, o.key, o.payload, o.n, c.position, c.recorded_at)
        .join_from(commits, outbox, o.commit_id == c.id)
        .where(tenant, c.position > last_position(connection) - LOOK_BACK)
        .order_by(c.position.desc(), o.n.desc())
        .limit(limit)
    )
    if types:
        statement = statement.where(dialect.not_by_index(o.type).in_(types))
    return _events(connection.execute(statement))


def newest_event_position(connection: Connection) -> int:
    """The position of the newest commit that told something; 0 where there is none. For figures, not for places to go on
    from: it looks among the newest ids, which may be in another order than positions for a moment."""
    newest = select(outbox.c.commit_id).order_by(outbox.c.commit_id.desc()).limit(NEWEST_IDS).subquery()
    statement = select(func.max(commits.c.position)).join_from(newest, commits, commits.c.id == newest.c.commit_id)
    return connection.execute(statement).scalar() or 0


def ask_replay(connection: Connection, position: int) -> None:
    """Asks the relay to go back to a position. The mark keeps the pruner from what is about to be read again."""
    dialect_of(connection).insert_missing(
        connection, Insert(cursors, ("name", "position", "token"), [(REPLAY, position, 0)])
    )
    connection.execute(
        update(cursors).where(cursors.c.name == REPLAY, cursors.c.position > position).values(position=position)
    )


def find_replay(connection: Connection) -> int | None:
    """The position that somebody asked to go back to."""
    return connection.execute(select(cursors.c.position).where(cursors.c.name == REPLAY)).scalar()


def take_replay(connection: Connection, name: str, token: int) -> int | None:
    """Moves a reader's cursor back to where somebody asked, in the transaction that forgets that they did. None where
    nobody asks, or the reader has a newer holder."""
    position = find_replay(connection)
    if position is None:
        return None
    mine = (cursors.c.name == name) & (cursors.c.token <= token)
    moved = connection.execute(update(cursors).where(mine).values(position=position, token=token))
    if moved.rowcount == 0:
        return None
    connection.execute(delete(cursors).where(cursors.c.name == REPLAY))
    return position


def event_of(row: Any, event_id: str) -> Event:
    """The event that a row holds, its own columns named as the event's."""
    return Event(
        id=event_id,
        type=row.type,
        tenant_id=row.tenant_id,
        key=row.key,
        position=row.position,
        n=row.n,
        recorded_at=row.recorded_at,
        payload=json.loads(row.payload),
    )


def _events(rows: Iterable[Any]) -> list[Event]:
    return [event_of(row, row.id) for row in rows]


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
def _after(
    dialect: Dialect, of_tenant: bool, of_types: bool
) -> Select[tuple[str, str, str, str, str, int, int, Instant]]:
    c, o = commits.c, outbox.c
    after: BindParameter[int] = bindparam("after")
    statement = (
        select(o.id, o.type, o.tenant_id, o.key, o.payload, o.n, c.position, c.recorded_at)
        .join_from(commits, outbox, o.commit_id == c.id)
        # The first says nothing that the second does not; it is what the index on positions is entered by. Without it, and
        # with a look-up in the outbox first, every round would read the whole history.
        .where(c.position >= after, or_(c.position > after, dialect.not_by_index(o.n) > bindparam("n")))
        .order_by(c.position, o.n)
        .limit(bindparam("most"))
    )
    if of_types:
        statement = statement.where(dialect.not_by_index(o.type).in_(bindparam("types", expanding=True)))
    return statement.where(dialect.not_by_index(o.tenant_id) == bindparam("tenant")) if of_tenant else statement


__all__: Sequence[str] = [
    "ask_replay",
    "find_replay",
    "last_position",
    "list_newest",
    "newest_event_position",
    "read_after",
    "receive_once",
    "take_replay",
]
