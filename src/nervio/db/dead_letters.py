"""Dead letters: events that a handler gave up, kept with the reason until somebody has them tried again."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, literal, select, tuple_, update

from nervio.db.outbox import event_of
from nervio.db.tables import dead_letters
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND, Instant
from nervio.ports.bus import DeadLetter, Event

_D = dead_letters.c


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it is kept. `asked_by` names who wants it tried again, until that has happened."""

    id: str
    handler: str
    event: Event
    reason: str
    attempts: int
    first_at: Instant
    last_at: Instant
    asked_by: str | None


Place = tuple[int, int, str]
"""Where a letter is in the order of facts: position and number of its event, then its own id."""


def place_of(letter: KeptLetter) -> Place:
    """Where it is."""
    return letter.event.position, letter.event.n, letter.id


def keep(connection: Connection, letter: DeadLetter, now: Instant) -> None:
    """Writes it down; one that was tried again and failed again is the same letter with more attempts."""
    event = letter.event
    again = connection.execute(
        update(dead_letters)
        .where(_D.tenant_id == event.tenant_id, _D.handler == letter.group, _D.event_id == event.id)
        .values(reason=letter.reason, attempts=_D.attempts + letter.attempts, last_at=now, asked_by=None)
    )
    if again.rowcount == 0:
        connection.execute(
            insert(dead_letters).values(
                tenant_id=event.tenant_id,
                id=new_id(),
                handler=letter.group,
                event_id=event.id,
                type=event.type,
                key=event.key,
                position=event.position,
                n=event.n,
                recorded_at=event.recorded_at,
                payload=json.dumps(event.payload, ensure_ascii=False),
                reason=letter.reason,
                attempts=letter.attempts,
                first_at=now - int(letter.seconds * SECOND),
                last_at=now,
            )
        )


def list_letters(
    connection: Connection, tenant_id: str | None, *, before: tuple[Instant, str] | None = None, limit: int = 500
) -> list[KeptLetter]:
    """Of a tenant or of all, the last to fail first."""
    statement = select(dead_letters).order_by(_D.last_at.desc(), _D.id.desc()).limit(limit)
    if tenant_id is not None:
        statement = statement.where(_D.tenant_id == tenant_id)
    if before is not None:
        at, letter_id = before
        statement = statement.where((_D.last_at < at) | ((_D.last_at == at) & (_D.id < letter_id)))
    return _letters(connection, statement)


def list_asked(
    connection: Connection, handlers: Collection[str], *, after: Place | None = None, limit: int = 500
) -> list[KeptLetter]:
    """Those of these handlers that somebody wants tried again, in the order of facts; the next ones after a place."""
    statement = (
        select(dead_letters)
        .where(_D.asked_by.is_not(None), _D.handler.in_(handlers))
        .order_by(_D.position, _D.n, _D.id)
        .limit(limit)
    )
    if after is not None:
        place = tuple_(_D.position, _D.n, _D.id)
        types = (_D.position.type, _D.n.type, _D.id.type)
        wanted = tuple_(*(literal(value, kind) for value, kind in zip(after, types, strict=True)))
        statement = statement.where(place > wanted)
    return _letters(connection, statement)


def ask_again(connection: Connection, tenant_id: str, letter_id: str | None, actor_id: str) -> int:
    """Asks for another attempt at one letter of a tenant, or at all; how many there are."""
    statement = update(dead_letters).where(_D.tenant_id == tenant_id).values(asked_by=actor_id)
    return connection.execute(statement if letter_id is None else statement.where(_D.id == letter_id)).rowcount


def forget(connection: Connection, tenant_id: str, letter_id: str) -> None:
    """Removes a letter whose event was handled."""
    connection.execute(delete(dead_letters).where(_D.tenant_id == tenant_id, _D.id == letter_id))


def count_by_handler(connection: Connection, tenant_id: str) -> dict[str, int]:
    """How many letters of a tenant each handler has."""
    statement = select(_D.handler, func.count()).where(_D.tenant_id == tenant_id).group_by(_D.handler)
    return {row[0]: row[1] for row in connection.execute(statement)}


def _letters(connection: Connection, statement: Select[Any]) -> list[KeptLetter]:
    return [
        KeptLetter(
            id=row.id,
            handler=row.handler,
            event=event_of(row, row.event_id),
            reason=row.reason,
            attempts=row.attempts,
            first_at=row.first_at,
            last_at=row.last_at,
            asked_by=row.asked_by,
        )
        for row in connection.execute(statement)
    ]


__all__: Sequence[str] = [
    "KeptLetter",
    "Place",
    "ask_again",
    "count_by_handler",
    "forget",
    "keep",
    "list_asked",
    "list_letters",
    "place_of",
]
