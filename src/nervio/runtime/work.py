"""One handler at work: an attempt, its figures, and what becomes of an event that it gave up."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prometheus_client import Counter
from sqlalchemy import Connection

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.db import attempts, dead_letters, leases, outbox
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.ports.bus import EVERYTHING, Bus, DeadLetter, Event, Group
from nervio.ports.clock import Clock
from nervio.runtime.relay import BATCH, HANDLER_CURSORS, LARGEST_N
from nervio.runtime.trials import REPLAY, ProcessTrials
from nervio.web.manifest import EventHandler

log = logging.getLogger(__name__)

LONGEST_REASON = 300
"""Of what an alert tells of an error; the letter keeps all of it."""

HANDLED = Counter("nervio_events_handled_total", "Events that a handler took.", ("handler",))
FAILED = Counter("nervio_events_handler_failures_total", "Attempts of a handler that failed.", ("handler",))
DEAD = Counter("nervio_events_dead_total", "Events that a handler gave up.", ("handler",))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every handler works with."""

    database: Database
    bus: Bus
    clock: Clock
    process_id: str
    ctx_of: Callable[[str], Ctx]
    attempts: int
    seconds: float


class Work:
    """One handler at work: its events, its figures, its dead letters."""

    def __init__(self, handler: EventHandler, around: Surroundings, trials: ProcessTrials) -> None:
        self.handler, self._around = handler, around
        self.name = handler.name
        self.cursor = HANDLER_CURSORS + handler.name
        self.begins_after = 0
        self.handled = 0
        self.group = Group(
            handler.name, self.bury, attempts=around.attempts, seconds=around.seconds, recall=self.recall, trials=trials
        )
        HANDLED.labels(self.name)
        FAILED.labels(self.name)
        DEAD.labels(self.name)

    async def recall(self, after: tuple[int, int] | None) -> Sequence[Event]:
        """See `nervio.ports.bus.Group`."""
        wanted = self.handler.types
        types = None if EVERYTHING in wanted else wanted

        def read(connection: Connection) -> Sequence[Event]:
            begins = max(leases.read_cursor(connection, self.cursor), self.begins_after), LARGEST_N
            return outbox.read_after(connection, *(after or begins), BATCH, types=types)

        return await self._around.database.read(read)

    async def handle(self, event: Event) -> None:
        """Handles what came after the handler began."""
        if event.position > self.begins_after:
            await self.try_once(event)

    async def try_once(self, event: Event) -> None:
        """One attempt. Commands of the context carry the receipt by which they happen once."""
        ctx = replace(self._around.ctx_of(event.tenant_id), receipt=(self.name, event.id))
        try:
            await self.handler.handle(ctx, event)
        except NervioError as error:
            if error.kind is not Kind.HALTED:
                FAILED.labels(self.name).inc()
            raise
        except Exception:
            FAILED.labels(self.name).inc()
            raise
        self.handled += 1
        HANDLED.labels(self.name).inc()

    def delivery(self) -> KeyedDelivery:
        """A delivery to this handler alone."""
        made = KeyedDelivery(self.group)
        for kind in self.handler.types:
            made.handlers[kind] = self.handle
        return made

    async def bury(self, letter: DeadLetter) -> None:
        """Keeps a dead letter, and tells of it."""
        now = self._around.clock.now()
        mine = [(name, letter.event.id) for name in (self.name, REPLAY + self.name)]

        def write(connection: Connection) -> None:
            dead_letters.keep(connection, letter, now)
            attempts.note(connection, [], mine, now)  # whoever asks for it again has it tried again

        await self._around.database.bookkeep("handlers", write)
        DEAD.labels(self.name).inc()
        event = letter.event
        log.error(
            "event_dead",
            extra={
                "handler": self.name,
                "event_id": event.id,
                "event_type": event.type,
                "tenant_id": event.tenant_id,
                "attempts": letter.attempts,
                "reason": letter.reason,
            },
        )
        with contextlib.suppress(Exception):  # the letter is kept and the line is logged; nothing may hang on the alert
            await self._tell(letter)

    async def _tell(self, letter: DeadLetter) -> None:
        event = letter.event
        figures = {
            "handler": self.name,
            "type": event.type,
            "attempts": str(letter.attempts),
            "reason": letter.reason[:LONGEST_REASON],
        }
        alert = Alert(Severity.WARNING, "event_dead", "", "", f"dead:{self.name}", "/console/safety/events", figures)
        await safety.raise_alert(self._around.ctx_of(event.tenant_id), alert, f"{self.name}:{event.id}")
