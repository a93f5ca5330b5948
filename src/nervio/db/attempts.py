"""Attempts at events, written down before they are made where an event may be one that kills its process."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from nervio.db import leases, outbox
from nervio.db.tables import event_attempts, event_handlers
from nervio.kernel.time import Instant
from nervio.ports.bus import Suspects

_A = event_attempts.c

Begun = tuple[str, str, int, int]
"""(handler, event_id, position, attempts)"""


def take_over(connection: Connection, handler: str, cursor: str, process_id: str) -> Suspects:
    """Notes who works for the handler from now on; which events may have killed the one who did before."""
    h = event_handlers.c
    before = connection.execute(select(h.taken_by).where(h.name == handler)).scalar()
    connection.execute(update(event_handlers).where(h.name == handler).values(taken_by=process_id))
    settled = leases.read_cursor(connection, cursor)
    connection.execute(delete(event_attempts).where(_A.handler == handler, _A.position <= settled))
    until = 0 if before in {None, process_id} else outbox.last_position(connection)
    return Suspects(until, read_begun(connection, handler))


def hand_over(connection: Connection, handler: str, process_id: str) -> None:
    """Notes that the handler's work ended in order; what was given up with others on the way is under no suspicion."""
    h = event_handlers.c
    mine = (h.name == handler) & (h.taken_by == process_id)
    if connection.execute(update(event_handlers).where(mine).values(taken_by=None)).rowcount:
        connection.execute(delete(event_attempts).where(_A.handler == handler, _A.attempts == 0))


def read_begun(connection: Connection, handler: str) -> dict[str, int]:
    """The events whose attempt was begun and not seen to end, and how often each was begun alone."""
    found = connection.execute(select(_A.event_id, _A.attempts).where(_A.handler == handler))
    return {row[0]: row[1] for row in found}


def note(connection: Connection, begun: Sequence[Begun], ended: Sequence[tuple[str, str]], now: Instant) -> None:
    """Writes down attempts that are about to be made, and forgets those that ended."""
    names = sorted({*ended, *((handler, event_id) for handler, event_id, *_ in begun)})
    if names:
        connection.execute(delete(event_attempts).where(tuple_(_A.handler, _A.event_id).in_(names)))
    if begun:
        columns = ("handler", "event_id", "position", "attempts")
        rows = [{**dict(zip(columns, row, strict=True)), "recorded_at": now} for row in begun]
        connection.execute(insert(event_attempts), rows)
