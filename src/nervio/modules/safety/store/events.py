"""Queries over events, cursors of handlers and dead letters. The tables belong to the mechanics (`nervio.db`)."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from nervio.db import dead_letters, outbox
from nervio.db.dead_letters import KeptLetter
from nervio.db.tables import cursors, event_handlers
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.events import EventFigures, HandlerState, Letter
from nervio.ports.bus import Event

RELAY = "relay"
HANDLER = "handler:"


def list_events(connection: TenantConnection, types: Collection[str], limit: int) -> list[Event]:
    """The shop's newest events."""
    return outbox.list_newest(connection.untenanted(), connection.tenant_id, types, limit)


def list_letters(connection: TenantConnection, before: tuple[Instant, str] | None, limit: int) -> list[Letter]:
    """The shop's dead letters, the last to fail first."""
    found = dead_letters.list_letters(connection.untenanted(), connection.tenant_id, before=before, limit=limit)
    return [_letter(kept) for kept in found]


def read_figures(connection: TenantConnection) -> EventFigures:
    """How far relay and handlers are behind the newest event."""
    inner = connection.untenanted()
    newest = outbox.newest_event_position(inner)
    places = {row[0]: row[1] for row in inner.execute(select(cursors.c.name, cursors.c.position))}
    dead = dead_letters.count_by_handler(inner, connection.tenant_id)
    names = sorted({*inner.execute(select(event_handlers.c.name)).scalars(), *dead})
    handlers = tuple(_state(name, places.get(HANDLER + name, 0), newest, dead.get(name, 0)) for name in names)
    return EventFigures(newest, max(0, newest - places.get(RELAY, 0)), handlers)


def _state(name: str, position: int, newest: int, dead: int) -> HandlerState:
    # Of the last position that a bus delivered more might come, so a handler that has everything may stand one behind.
    return HandlerState(name, position, max(0, newest - 1 - position), dead)


def _letter(kept: KeptLetter) -> Letter:
    event = kept.event
    return Letter(
        id=kept.id,
        handler=kept.handler,
        event_id=event.id,
        type=event.type,
        key=event.key,
        position=event.position,
        recorded_at=event.recorded_at,
        payload=event.payload,
        reason=kept.reason,
        attempts=kept.attempts,
        first_at=kept.first_at,
        last_at=kept.last_at,
        asked_by=kept.asked_by,
    )
