"""Who is asking, for which tenant, and through which store: what every use case is handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from nervio.db.batch import Command, Lane, Operation
from nervio.db.database import Database
from nervio.db.execution import Outcome
from nervio.db.steps import Step
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import forbidden
from nervio.kernel.ids import new_id
from nervio.ports.clock import Clock

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Ctx:
    """The context of one request or job. `permissions` None means the program itself acts, not a person."""

    tenant_id: str
    actor_id: str
    database: Database
    clock: Clock
    permissions: frozenset[str] | None = None
    lane: Lane = Lane.TILL
    receipt: tuple[str, str] | None = None
    """(handler, event id) while an event is handled: every command of this context then happens once for it."""
    step: Step | None = None
    """The step of a background job whose one command this context is for (see `nervio.db.jobs`)."""
    is_person: bool = False
    """Whether somebody of flesh and blood acts, and not a program with a key: what takes two people takes two of them."""

    def require(self, permission: str) -> None:
        """Raises `forbidden` unless the actor has the permission."""
        if self.permissions is not None and permission not in self.permissions:
            raise forbidden(permission)

    def command(self, operation: Operation[B, R], body: B, key: str | None, *, weight: int = 1) -> Command[B, R]:
        """A command of this actor in this tenant.

        Without a key it gets one of its own: a batch whose COMMIT had an unknown outcome is sent again by its keys, and a
        sale without one would be sold twice. While an event is handled, (handler, operation, key) and the event's id are its
        key: a handler that submits an operation twice gives each a key.
        """
        receipt = None
        if self.receipt is not None:
            handler, event_id = self.receipt
            receipt = (":".join(filter(None, (handler, operation.name, key))), event_id)
        own_key = new_id() if key is None and receipt is None else key
        step = None if self.step is None else self.step.take()
        return Command(
            operation,
            self.tenant_id,
            self.actor_id,
            own_key,
            body,
            weight=weight,
            lane=self.lane,
            receipt=receipt,
            step=step,
        )

    async def submit(self, operation: Operation[B, R], body: B, key: str | None, *, weight: int = 1) -> R:
        """Commits one command and returns its reply, or raises its refusal."""
        return await self.database.submit(self.command(operation, body, key, weight=weight))

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        """Commits many; each outcome is a reply or an exception, in order."""
        return await self.database.submit_all(commands)

    async def read(self, query: Callable[[TenantConnection], T]) -> T:
        """Runs queries bound to this tenant in one read transaction."""

        def run(connection: Connection) -> T:
            return query(TenantConnection(connection, self.tenant_id))

        return await self.database.read(run)
