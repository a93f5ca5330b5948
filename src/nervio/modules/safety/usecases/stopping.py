"""Stopping. It runs alone, ahead of every queue, as does everything else that changes what the fence forbids."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.database import Database, PendingStop
from nervio.db.execution import StoreLost
from nervio.db.halt import read_clock, tenant_of_scope
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND
from nervio.modules.safety.contracts.halts import Freeze, Frozen, HaltRecord, InFlight, Pending, Target
from nervio.modules.safety.domain.halts import expiry_of, is_at_least
from nervio.modules.safety.store import actions, policies
from nervio.modules.safety.store import halts as store
from nervio.modules.safety.usecases import journalling

B = TypeVar("B")
R = TypeVar("R")


async def run(
    database: Database, operation: Operation[B, R], tenant_id: str | None, actor_id: str, body: B
) -> R | Pending:
    """Runs an operation of the stop while no other write is under way. They need no idempotency key: stopping what is
    stopped and resuming what runs change nothing. Raises `unavailable` when the store cannot be written to."""
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
    now = read_clock(batch.connection, batch.now)
    policy = policies.read_policy(batch.connection, target.tenant_id)
    level = body.level or policy.default_level
    expires_at = expiry_of(body, now)
    for same in store.find_active(batch.connection, [target], level, now):
        # One that ends earlier, or that somebody thaws just now, is not what was asked for: a new one stands beside it.
        if is_at_least(same, expires_at):
            return Frozen(same, True, _in_flight(batch, target))
    runs_out_together = expires_at is not None and target.tenant_id is None
    halt = HaltRecord(
        id=new_id(),
        tenant_id=target.tenant_id,
        module=target.module,
        location_id=target.location_id,
        level=level,
        reason=body.reason,
        activated_by=command.actor_id,
        activated_at=batch.now,
        expires_at=expires_at,
        spread_us=policy.thaw_jitter_seconds * SECOND if runs_out_together else None,
    )
    journalling.activate(batch, halt)
    return Frozen(halt, False, _in_flight(batch, target))


def _in_flight(batch: Batch, target: Target) -> tuple[InFlight, ...]:
    """Read while nobody else writes: what is not in it needs a claim, and the stop decides about that."""
    found = actions.list_in_flight(batch.connection, target.tenant_id, batch.now)
    return tuple(InFlight(one.id, one.campaign_id, one.kind.value, one.platform) for one in found)


FREEZE: Operation[Freeze, Frozen] = Operation(
    "safety.freeze", Effect.CONTROL, Freeze, Frozen, _freeze, direct=True, touches=("ledger",)
)
