"""The two operations that change what the fence forbids. Both run alone, ahead of every queue."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.database import Database, PendingStop
from nervio.db.execution import StoreLost
from nervio.db.halt import tenant_of_scope
from nervio.events.safety import HALT_ACTIVATED, HALT_CLEARED, HaltActivated, HaltCleared
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import NIL, new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import store
from nervio.modules.safety.contracts import Freeze, Frozen, HaltRecord, Pending, Thawed, Unfreeze

B = TypeVar("B")
R = TypeVar("R")


async def run(
    database: Database, operation: Operation[B, R], tenant_id: str | None, actor_id: str, body: B
) -> R | Pending:
    """Runs one of the two operations below while no other write is under way. They need no idempotency key: stopping
    what is stopped and resuming what runs change nothing. Raises `unavailable` when the store cannot be written to."""
    command = Command(operation, tenant_of_scope(tenant_id), actor_id, None, body)
    try:
        outcome = await database.run_exclusive(command)
    except (StoreLost, DBAPIError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise NervioError(
            Kind.UNAVAILABLE,
            "store_unavailable",
            f"The database could not be written to, so nothing is acknowledged: {cause}",
        ) from error
    if isinstance(outcome, PendingStop):
        return Pending(outcome.process_id, outcome.detail)
    return outcome


def _freeze(batch: Batch, command: Command[Freeze, Frozen]) -> Frozen:
    body, target = command.body, command.body.target
    same = store.find_active(batch.connection, [target], body.level)
    if same:
        return Frozen(same[0], already=True)
    halt = HaltRecord(
        id=new_id(),
        tenant_id=target.tenant_id,
        module=target.module,
        location_id=target.location_id,
        level=body.level,
        reason=body.reason,
        activated_by=command.actor_id,
        activated_at=batch.now,
    )
    store.insert_halt(batch.connection, halt)
    _journal(batch, "halt_activated", command.actor_id, halt, body.reason)
    fact = HaltActivated(
        halt.id, halt.tenant_id, halt.module, halt.location_id, halt.level, halt.reason, halt.activated_by, batch.now
    )
    batch.emit(tenant_of_scope(halt.tenant_id), HALT_ACTIVATED, halt.id, fact)
    return Frozen(halt, already=False)


def _unfreeze(batch: Batch, command: Command[Unfreeze, Thawed]) -> Thawed:
    body, actor_id = command.body, command.actor_id
    cleared = []
    for halt in store.find_active(batch.connection, body.targets, body.level):
        store.clear_halt(batch.connection, halt.id, actor_id, batch.now, body.reason)
        _journal(batch, "halt_cleared", actor_id, halt, body.reason)
        fact = HaltCleared(
            halt.id, halt.tenant_id, halt.module, halt.location_id, halt.level, body.reason, actor_id, batch.now
        )
        batch.emit(tenant_of_scope(halt.tenant_id), HALT_CLEARED, halt.id, fact)
        cleared.append(replace(halt, cleared_by=actor_id, cleared_at=batch.now, clear_reason=body.reason))
    of_tenant = None if command.tenant_id == NIL else command.tenant_id
    return Thawed(tuple(cleared), tuple(store.list_in_force(batch.connection, of_tenant)))


def _journal(batch: Batch, kind: str, actor_id: str, halt: HaltRecord, reason: str) -> None:
    """An entry without postings: it moves nothing, and is sealed with everything else."""
    details = {
        "scope": halt.scope.value,
        "module": halt.module,
        "location_id": halt.location_id,
        "level": halt.level,
        "reason": reason,
    }
    tenant_id = tenant_of_scope(halt.tenant_id)
    ledger.book(batch).post(tenant_id, actor_id, kind, halt.id, "", batch.now, [], details)


FREEZE: Operation[Freeze, Frozen] = Operation(
    "safety.freeze", Effect.CONTROL, Freeze, Frozen, _freeze, direct=True, touches=("ledger",)
)
UNFREEZE: Operation[Unfreeze, Thawed] = Operation(
    "safety.unfreeze", Effect.CONTROL, Unfreeze, Thawed, _unfreeze, direct=True, touches=("ledger",)
)
