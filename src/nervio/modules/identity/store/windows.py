"""How often logins were tried of late: windows of attempts under a hash of what is counted, for the whole installation."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select

from nervio.db.dialects import Dialect
from nervio.db.writes import Insert, Update
from nervio.kernel.time import Instant
from nervio.modules.identity.models import login_windows

_W = login_windows.c

MOST_FORGOTTEN = 200
"""Rows that one transaction removes: more than it adds, so that the table shrinks again after a flood."""


@dataclass(slots=True)
class Window:
    """The attempts that count, the oldest first, and when the row may go."""

    expires_at: Instant
    attempts: list[Instant] = field(default_factory=list)


def find_windows(connection: Connection, names: Collection[str], now: Instant) -> dict[str, Window]:
    """The windows that have not expired."""
    statement = select(_W.name, _W.expires_at, _W.attempts).where(_W.name.in_(names), _W.expires_at > now)
    return {row.name: Window(row.expires_at, json.loads(row.attempts)) for row in connection.execute(statement)}


def lock_windows(
    connection: Connection, dialect: Dialect, names: Collection[str], expires_at: Instant
) -> dict[str, Window]:
    """Locks a window for each name until the commit, in the order of names; empty ones where there are none yet."""
    wanted = sorted(names)
    statement = dialect.lock(
        select(_W.name, _W.expires_at, _W.attempts).where(_W.name.in_(wanted)).order_by(_W.name), login_windows
    )
    found: dict[str, Window] = {}
    while len(found) < len(wanted):
        # More than once only where another process forgot an expired row between the two statements.
        fresh = [(name, "[]", expires_at) for name in wanted if name not in found]
        dialect.insert_missing(connection, Insert(login_windows, ("name", "attempts", "expires_at"), fresh))
        rows = connection.execute(statement).all()
        found = {row.name: Window(row.expires_at, json.loads(row.attempts)) for row in rows}
    return found


def write_windows(connection: Connection, dialect: Dialect, windows: Mapping[str, Window]) -> None:
    """Writes windows that were locked."""
    rows = [(name, json.dumps(one.attempts), one.expires_at) for name, one in sorted(windows.items())]
    dialect.apply(connection, [Update(login_windows, ("name",), ("attempts", "expires_at"), rows)])


def forget_expired(connection: Connection, now: Instant) -> None:
    """Removes windows that count nothing any more, except those that another process has locked."""
    old = select(_W.name).where(_W.expires_at <= now).order_by(_W.expires_at).limit(MOST_FORGOTTEN)
    names = connection.execute(old.with_for_update(skip_locked=True)).scalars().all()
    if names:
        connection.execute(delete(login_windows).where(_W.name.in_(names)))
