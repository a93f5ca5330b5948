"""What every use of the stop leaves behind: an entry in the journal and an event. Entries without postings move nothing
and are sealed with everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nervio.db.batch import Batch
from nervio.db.halt import is_drill, tenant_of_scope
from nervio.events.safety import (
    HALT_ACTIVATED,
    HALT_CLEARED,
    HALT_STAGE_REACHED,
    SAFETY_POLICY_CHANGED,
    THAW_REQUESTED,
    THAW_SETTLED,
    HaltActivated,
    HaltCleared,
    HaltStageReached,
    SafetyPolicyChanged,
    ThawRequested,
    ThawSettled,
)
from nervio.kernel.time import to_iso
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.halts import HaltRecord, Policy, ThawRequest
from nervio.modules.safety.store import halts as store
from nervio.modules.safety.store import policies as policy_store


def activate(batch: Batch, halt: HaltRecord) -> None:
    """Begins a halt."""
    store.insert_halt(batch.connection, halt)
    details = {"expires_at": None if halt.expires_at is None else to_iso(halt.expires_at)}
    _journal(batch, "halt_activated", halt.activated_by, halt, halt.reason, details)
    fact = HaltActivated(
        halt.id,
        halt.tenant_id,
        halt.module,
        halt.location_id,
        halt.level,
        halt.reason,
        halt.activated_by,
        halt.activated_at,
        halt.expires_at,
    )
    _emit(batch, halt, HALT_ACTIVATED, fact)


def stage(batch: Batch, halt: HaltRecord, level: str | None) -> None:
    """Books the stage of a thaw; `level` is what holds from now on."""
    store.update_halt(batch.connection, halt)
    details = {"level": level, "next_stage_at": None if halt.next_stage_at is None else to_iso(halt.next_stage_at)}
    _journal(batch, "halt_stage", halt.thawed_by or "", halt, halt.thaw_reason or "", details)
    fact = HaltStageReached(
        halt.id,
        halt.tenant_id,
        halt.module,
        halt.location_id,
        level,
        halt.next_stage_at,
        halt.thawed_by or "",
        batch.now,
    )
    _emit(batch, halt, HALT_STAGE_REACHED, fact)


def clear(batch: Batch, halt: HaltRecord, actor_id: str, reason: str, *, expired: bool = False) -> HaltRecord:
    """Ends a halt."""
    ended = replace(halt, cleared_by=actor_id, cleared_at=batch.now, clear_reason=reason, next_stage_at=None)
    store.update_halt(batch.connection, ended)
    _journal(batch, "halt_expired" if expired else "halt_cleared", actor_id, halt, reason)
    fact = HaltCleared(halt.id, halt.tenant_id, halt.module, halt.location_id, halt.level, reason, actor_id, batch.now)
    _emit(batch, halt, HALT_CLEARED, fact)
    return ended


def break_glass(batch: Batch, halt: HaltRecord, actor_id: str, reason: str, overridden: tuple[str, ...]) -> None:
    """Journals what was overridden, beside the end of the halt."""
    _journal(batch, "halt_break_glass", actor_id, halt, reason, {"overridden": list(overridden)})


def request(batch: Batch, asked: ThawRequest) -> None:
    """Begins a request."""
    policy_store.insert_request(batch.connection, asked)
    details = {
        "kind": asked.kind,
        "halts": list(asked.halt_ids),
        "reason": asked.reason,
        "expires_at": to_iso(asked.expires_at),
    }
    tenant_id = tenant_of_scope(asked.tenant_id)
    ledger.book(batch).post(tenant_id, asked.requested_by, "thaw_requested", asked.id, "", batch.now, [], details)
    fact = ThawRequested(asked.id, asked.tenant_id, asked.kind, asked.reason, asked.requested_by, asked.expires_at)
    batch.emit(tenant_id, THAW_REQUESTED, asked.id, fact)


def settle(batch: Batch, asked: ThawRequest, outcome: str, actor_id: str, note: str) -> ThawRequest:
    """Ends a request: `confirmed`, `refused` or `lapsed`."""
    settled = replace(asked, outcome=outcome, settled_by=actor_id, settled_at=batch.now, note=note)
    policy_store.settle(batch.connection, settled)
    tenant_id = tenant_of_scope(asked.tenant_id)
    details = {"kind": asked.kind, "requested_by": asked.requested_by, "reason": note}
    ledger.book(batch).post(tenant_id, actor_id, f"thaw_{outcome}", asked.id, "", batch.now, [], details)
    fact = ThawSettled(asked.id, asked.tenant_id, asked.kind, outcome, actor_id)
    batch.emit(tenant_id, THAW_SETTLED, asked.id, fact)
    return settled


def save_policy(batch: Batch, policy: Policy, actor_id: str) -> Policy:
    """Makes a policy the one in force."""
    saved = replace(policy, saved_by=actor_id, saved_at=batch.now)
    policy_store.save_policy(batch.connection, saved)
    tenant_id = tenant_of_scope(policy.tenant_id)
    details = {
        "two_person_thaw": policy.two_person_thaw,
        "thaw_stage_seconds": policy.thaw_stage_seconds,
        "thaw_jitter_seconds": policy.thaw_jitter_seconds,
        "confirm_within_seconds": policy.confirm_within_seconds,
        "default_level": policy.default_level,
    }
    entry = batch.new_id()
    ledger.book(batch).post(tenant_id, actor_id, "safety_policy", entry, "", batch.now, [], details)
    fact = SafetyPolicyChanged(policy.tenant_id, policy.two_person_thaw, policy.thaw_stage_seconds, actor_id)
    batch.emit(tenant_id, SAFETY_POLICY_CHANGED, tenant_id, fact)
    return saved


def _journal(
    batch: Batch, kind: str, actor_id: str, halt: HaltRecord, reason: str, more: Mapping[str, object] | None = None
) -> None:
    if is_drill(halt.module):
        return  # the drill's own entry says how it went
    details = {
        "scope": halt.scope.value,
        "module": halt.module,
        "location_id": halt.location_id,
        "level": halt.level,
        "reason": reason,
        **(more or {}),
    }
    tenant_id = tenant_of_scope(halt.tenant_id)
    ledger.book(batch).post(tenant_id, actor_id, kind, halt.id, "", batch.now, [], details)


def _emit(batch: Batch, halt: HaltRecord, event: str, fact: object) -> None:
    if not is_drill(halt.module):
        batch.emit(tenant_of_scope(halt.tenant_id), event, halt.id, fact)
