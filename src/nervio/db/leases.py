"""Leases: who leads, for how long, and the fencing token that makes a late leader harmless."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, func, insert, literal, select, update

from nervio.db.dialects import Dialect, dialect_of, look_up
from nervio.db.tables import cursors, leases
from nervio.db.writes import Insert, Update
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND, Instant
from nervio.ports.lock import Fence


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


@dataclass(frozen=True, slots=True)
class Taken:
    """A lease that is the asker's now. `ran_out`: the holder before did not let it go."""

    token: int
    ran_out: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that is somebody else's until it is let go or `expires_at`; both 0 where its row is being written just now."""

    token: int
    expires_at: Instant


def find_holder(connection: Connection, name: str) -> Held | None:
    """The state of the lease; None before its first holder."""
    row = connection.execute(select(leases.c.token, leases.c.expires_at).where(leases.c.name == name)).first()
    return None if row is None else Held(row[0], row[1])


LOCKED = Held(0, 0)
"""What a lease looks like whose row another transaction has locked."""


class Deed(Enum):
    """What is asked for of a lease."""

    TAKE = "take"
    RENEW = "renew"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Ask:
    """One deed of one owner, new with every holder.

    `given_up` is a state in which the lease has been seen for longer than any lasts: such a one is free whatever its expiry
    says, which the clock of a machine that was set back wrote.
    """

    deed: Deed
    name: str
    owner: str
    seconds: float = 0.0
    given_up: Held | None = None


Answer = Taken | Held | bool | None
"""`Taken` or `Held` of a lease that was to be taken; whether it was still the owner's of one to be renewed or released; None
where the row is locked just now, by a write that carries the lease's token."""


def settle(connection: Connection, asks: Sequence[Ask], now: Instant, *, waits: bool = False) -> list[Answer]:
    """Settles many asks in their order, in three statements whatever their number. Waits for locked rows only where told to:
    then a row comes even beside an endless stream of writes under its lock, in the order of the database's own queue."""
    names = sorted({ask.name for ask in asks})
    rows = _lock_rows(connection, names, waits)
    # A first holder brings the row, which another process may be doing at this very moment.
    fresh = sorted({ask.name for ask in asks if ask.deed is Deed.TAKE} - rows.keys())
    if fresh:
        dialect_of(connection).insert_missing(
            connection, Insert(leases, ("name", "owner", "token", "expires_at"), [(name, "", 0, 0) for name in fresh])
        )
        rows |= _lock_rows(connection, fresh, waits)
    before = dict(rows)
    answers = [_settle_one(ask, rows, now) for ask in asks]
    changed = [(name, *rows[name]) for name in names if name in rows and rows[name] != before[name]]
    if changed:
        update_all = Update(leases, ("name",), ("owner", "token", "expires_at"), changed)
        dialect_of(connection).apply(connection, [update_all])
    return answers


def _settle_one(ask: Ask, rows: dict[str, tuple[str, int, Instant]], now: Instant) -> Answer:
    if ask.name not in rows:
        return LOCKED if ask.deed is Deed.TAKE else None
    owner, token, expires_at = rows[ask.name]
    until = now + int(ask.seconds * SECOND)
    if ask.deed is Deed.TAKE:
        state = Held(token, expires_at)
        if expires_at > now and state != ask.given_up:
            return state
        rows[ask.name] = (ask.owner, token + 1, until)
        return Taken(token + 1, ran_out=expires_at > 0)
    # One that ran out may still be renewed: with the owner still there nobody has had it since.
    if owner != ask.owner or not expires_at:
        return False
    rows[ask.name] = (owner, token, until if ask.deed is Deed.RENEW else 0)
    return True


def _lock_rows(connection: Connection, names: Sequence[str], waits: bool) -> dict[str, tuple[str, int, Instant]]:
    """Owner, token and expiry of the leases, of those alone that nobody has locked unless it `waits`; the rows are ours
    until the transaction ends."""
    dialect = dialect_of(connection)
    parameters = dialect.rows_parameters("f", [leases.c.name], [(name,) for name in names])
    found = connection.execute(_rows_to_settle(dialect, waits), parameters)
    return {row[0]: (row[1], row[2], row[3]) for row in found}


@cache
def _rows_to_settle(dialect: Dialect, waits: bool) -> Select[Any]:
    names = dialect.rows_table("f", [leases.c.name])
    rows = select(leases.c.name, leases.c.owner, leases.c.token, leases.c.expires_at)
    joined = rows.join_from(names, leases, leases.c.name == names.c.name).order_by(leases.c.name)
    return joined.with_for_update(of=leases, skip_locked=not waits)


def release(connection: Connection, name: str, owner: str) -> None:
    """Lets go at once instead of letting the others wait for the expiry."""
    connection.execute(update(leases).where(leases.c.name == name, leases.c.owner == owner).values(expires_at=0))


def release_all(connection: Connection) -> None:
    """Lets go of what others left behind, for a process that is the only one: nobody holds anything then, whatever a clock that
    has been set back since makes of the expiries. Tokens stay, so that a late write is still told apart."""
    connection.execute(update(leases).where(leases.c.expires_at > 0).values(expires_at=0))


def check(connection: Connection, name: str, token: int) -> None:
    """Refuses a holder whose lease has changed hands since. Locks the row, so that it cannot change hands before the
    caller's transaction ends."""
    held = connection.execute(
        select(leases.c.token).where(leases.c.name == name, leases.c.token == token).with_for_update()
    ).first()
    if held is None:
        raise lease_lost(name)


def find_stale(connection: Connection, fences: Collection[Fence]) -> set[Fence]:
    """Which of the fences are those of late holders; the rows of all are locked as by `check`, in order of their names."""
    dialect = dialect_of(connection)
    rows = look_up(
        connection, _tokens(dialect), dialect.rows_parameters("f", [leases.c.name], sorted({(f[0],) for f in fences}))
    )
    newest = {row[0]: row[1] for row in rows}
    return {fence for fence in fences if newest.get(fence[0]) != fence[1]}


@cache
def _tokens(dialect: Dialect) -> Select[Any]:
    names = dialect.rows_table("f", [leases.c.name])
    tokens = select(leases.c.name, leases.c.token).join_from(names, leases, leases.c.name == names.c.name)
    return dialect.lock(tokens.order_by(leases.c.name), leases)


def lease_lost(name: str) -> NervioError:
    """The refusal of a write whose holder is late."""
    return NervioError(Kind.CONFLICT, "lease_lost", f"The lease {name!r} has a new holder.", lease=name)


def read_cursor(connection: Connection, name: str) -> int:
    """The position up to which the named reader has worked; 0 before the first."""
    return connection.execute(select(cursors.c.position).where(cursors.c.name == name)).scalar() or 0


def lowest_cursor(connection: Connection, prefix: str) -> int | None:
    """The lowest position among the cursors whose name begins so; None where there is none."""
    named = cursors.c.name.startswith(prefix, autoescape=True)
    return connection.execute(select(func.min(cursors.c.position)).where(named)).scalar()


def advance_cursor(connection: Connection, name: str, position: int) -> None:
    """Moves a cursor forward whoever asks; for places where going on too early would only repeat work."""
    connection.execute(
        update(cursors).where(cursors.c.name == name, cursors.c.position < position).values(position=position)
    )


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
