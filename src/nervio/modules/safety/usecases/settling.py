"""What takes two people: another confirms or refuses. And the policy that says what takes two."""

from __future__ import annotations

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.halt import read_clock
from nervio.kernel.errors import Kind, NervioError, conflict, not_found
from nervio.modules.safety.contracts.halts import (
    PolicySaved,
    RequestKind,
    SavePolicy,
    Settle,
    Settled,
    Stages,
)
from nervio.modules.safety.domain.halts import changed_policy
from nervio.modules.safety.store import halts as store
from nervio.modules.safety.store import policies
from nervio.modules.safety.usecases import journalling
from nervio.modules.safety.usecases.asking import ask_to_change, require_person
from nervio.modules.safety.usecases.thawing import thaw


def _settle(batch: Batch, command: Command[Settle, Settled]) -> Settled:
    body, actor_id = command.body, command.actor_id
    now = read_clock(batch.connection, batch.now)
    request = policies.find_request(batch.connection, body.tenant_ids, body.request_id)
    if request is None:
        raise not_found("request", body.request_id)
    if request.outcome is not None:
        raise conflict("request_settled", "Somebody settled this request before.", outcome=request.outcome)
    if request.expires_at <= now:
        raise conflict("request_lapsed", "Nobody confirmed in time; ask again.")
    if not body.confirms:
        return Settled(journalling.settle(batch, request, "refused", actor_id, body.note))
    require_person(body.by_person)
    if actor_id == request.requested_by:
        raise NervioError(
            Kind.FORBIDDEN, "second_person_required", "You asked for this yourself; somebody else has to confirm it."
        )
    settled = journalling.settle(batch, request, "confirmed", actor_id, body.note)
    policy = policies.read_policy(batch.connection, request.tenant_id)
    if request.kind == RequestKind.POLICY:
        assert request.changes is not None
        wanted = changed_policy(policy, request.changes)
        return Settled(settled, policy=journalling.save_policy(batch, wanted, actor_id))
    is_staged = request.stages == Stages.POLICY
    found = store.find_by_id(batch.connection, request.halt_ids, now)
    done = [thaw(batch, halt, actor_id, request.reason, policy, now, staged=is_staged) for halt in found]
    return Settled(
        settled,
        cleared=tuple(halt for halt in done if halt.cleared_at is not None),
        thawing=tuple(halt for halt in done if halt.cleared_at is None),
    )


def _save_policy(batch: Batch, command: Command[SavePolicy, PolicySaved]) -> PolicySaved:
    body, actor_id = command.body, command.actor_id
    now = read_clock(batch.connection, batch.now)
    # Read here, while nobody else writes: what somebody else has changed meanwhile stays.
    current = policies.read_policy(batch.connection, body.tenant_id)
    wanted = changed_policy(current, body.changes)
    if current.two_person_thaw and not wanted.two_person_thaw:
        frozen = store.list_in_force(batch.connection, wanted.tenant_id, now)
        if any(halt.tenant_id == wanted.tenant_id for halt in frozen):
            # Else one person would turn the rule off and thaw alone.
            require_person(body.by_person)
            return PolicySaved(current, ask_to_change(batch, actor_id, current, body.changes, now))
    return PolicySaved(journalling.save_policy(batch, wanted, actor_id))


SETTLE: Operation[Settle, Settled] = Operation(
    "safety.settle", Effect.CONTROL, Settle, Settled, _settle, direct=True, touches=("ledger",)
)
SAVE_POLICY: Operation[SavePolicy, PolicySaved] = Operation(
    "safety.save_policy", Effect.CONTROL, SavePolicy, PolicySaved, _save_policy, direct=True, touches=("ledger",)
)
