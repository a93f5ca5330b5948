"""Leases: who leads, for how long, and the fencing token that makes a late leader harmless."""

from __future__ import annotations

from sqlalchemy import Connection, insert, literal, select, update

from nervio.db.dialects import dialect_of
from nervio.db.tables import cursors, leases
from nervio.db.writes import Insert
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND, Instant


def acquire(connection: Connection, name: str, owner: str, now: Instant, seconds: float) -> int | None:
    """Takes or renews the lease; returns its fencing token, or None while somebody else holds it.

    Tokens grow with every change of hands and never go back, so a write that carries an older one can be told apart.
    """
    expires_at = now + int(seconds * SECOND)
    renewed = connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.owner == owner, leases.c.expires_at > now)
        .values(expires_at=expires_at)
    )
    if renewed.rowcount == 0 and not _take(connection, name, owner, now, expires_at):
        # A first holder brings the row, which another process may be doing at this very moment.
        fresh = Insert(leases, ("name", "owner", "token", "expires_at"), [(name, "", 0, 0)])
        dialect_of(connection).insert_missing(connection, fresh)
        if not _take(connection, name, owner, now, expires_at):
            return None
    token: int = connection.execute(select(leases.c.token).where(leases.c.name == name)).scalar_one()
    return token


def _take(connection: Connection, name: str, owner: str, now: Instant, expires_at: Instant) -> bool:
    taken = connection.execute(
        update(leases)
        .where(leases.c.name == name, leases.c.expires_at <= now)
        .values(owner=owner, token=leases.c.token + 1, expires_at=expires_at)
    )
    return taken.rowcount > 0


def release(connection: Connection, name: str, owner: str) -> None:
    """Lets go at once instead of letting the others wait for the expiry."""
    connection.execute(update(leases).where(leases.c.name == name, leases.c.owner == owner).values(expires_at=0))


def check(connection: Connection, name: str, token: int) -> None:
    """Refuses a holder whose lease has changed hands since. Locks the row, so that it cannot change hands before the
    caller's transaction ends."""
    held = connection.execute(
        select(leases.c.token).where(leases.c.name == name, leases.c.token == token).with_for_update()
    ).first()
    if held is None:
        raise NervioError(Kind.CONFLICT, "lease_lost", f"The lease {name!r} has a new holder.", lease=name)


def read_cursor(connection: Connection, name: str) -> int:
    """The position up to which the named reader has worked; 0 before the first."""
    return connection.execute(select(cursors.c.position).where(cursors.c.name == name)).scalar() or 0


def move_cursor(connection: Connection, name: str, position: int, token: int) -> None:
    """Moves a reader's cursor; one that carries an older token than the last mover's is refused."""
    moved = connection.execute(
        update(cursors)
        .where(cursors.c.name == name, cursors.c.token <= token, cursors.c.position <= position)
        .values(position=position, token=token)
    )
    if moved.rowcount == 0:
        added = connection.execute(
            insert(cursors).from_select(
                ["name", "position", "token"],
                select(literal(name), literal(position), literal(token)).where(
                    ~select(cursors.c.name).where(cursors.c.name == name).exists()
                ),
            )
        )
        if added.rowcount == 0:
            raise NervioError(
                Kind.CONFLICT, "lease_lost", f"The cursor {name!r} was moved by a newer holder.", lease=name
            )
