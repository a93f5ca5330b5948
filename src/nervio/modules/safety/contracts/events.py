"""Values of the event pages: what happened, how far handlers are, what they gave up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nervio.kernel.time import Instant


@dataclass(frozen=True, slots=True)
class AskReplay:
    """Asks for another attempt at one dead letter, or at all of the shop's."""

    letter_id: str | None


@dataclass(frozen=True, slots=True)
class ReplayAsked:
    """How many letters will be tried again."""

    letters: int


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that a handler gave up. `asked_by` names who wants it tried again, until that has happened."""

    id: str
    handler: str
    event_id: str
    type: str
    key: str
    position: int
    recorded_at: Instant
    payload: dict[str, Any]
    reason: str
    attempts: int
    first_at: Instant
    last_at: Instant
    asked_by: str | None


@dataclass(frozen=True, slots=True)
class HandlerState:
    """How far one handler is."""

    name: str
    position: int
    lag_positions: int
    dead: int


@dataclass(frozen=True, slots=True)
class EventFigures:
    """How far the events of the installation have come; dead letters are the shop's own."""

    position: int
    relay_lag_positions: int
    handlers: tuple[HandlerState, ...]
