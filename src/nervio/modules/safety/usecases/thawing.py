"""Resuming: at once or from stage to stage, and what time does to a halt by itself.

A thaw of `all` lets people read first, then take goods back, then everything, so that a system which has just recovered is
not run over by everybody who waited. Each stage is a write under the exclusive fence. Where it stands is in the halt's row:
a process that dies in the middle leaves the stage in force, and whoever leads the scheduler next goes on with it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.halt import is_drill, read_clock
from nervio.kernel.errors import forbidden
from nervio.kernel.ids import NIL
from nervio.kernel.time import SECOND, Instant
from nervio.modules.safety.contracts.halts import (
    SYSTEM_ACTOR,
    Advance,
    Advanced,
    HaltRecord,
    Policy,
    Stages,
    Thawed,
    ThawRequest,
    Unfreeze,
)
from nervio.modules.safety.domain.halts import level_below, stage_length
from nervio.modules.safety.store import halts as store
from nervio.modules.safety.store import policies
from nervio.modules.safety.usecases import asking, journalling

RESUME_AT_ONCE = "safety.resume_at_once"


def _unfreeze(batch: Batch, command: Command[Unfreeze, Thawed]) -> Thawed:
    body, actor_id = command.body, command.actor_id
    now = read_clock(batch.connection, batch.now)
    found = store.find_active(batch.connection, body.targets, body.level, now)
    if body.halt_id is not None:
        found = [halt for halt in found if halt.id == body.halt_id]
    done: list[HaltRecord] = []
    requested: list[ThawRequest] = []
    overridden: list[str] = []
    for tenant_id, group in groupby(sorted(found, key=lambda halt: halt.tenant_id or ""), lambda halt: halt.tenant_id):
        halts = list(group)
        if is_drill(halts[0].module):
            done += [journalling.clear(batch, halt, actor_id, body.reason) for halt in halts]
            continue
        policy = policies.read_policy(batch.connection, tenant_id)
        if body.break_glass:
            words = _overridden(policy)
            overridden += words
            for halt in halts:
                if words:
                    journalling.break_glass(batch, halt, actor_id, body.reason, words)
                done.append(journalling.clear(batch, halt, actor_id, body.reason))
            continue
        is_staged = _is_staged(body, policy)
        if policy.two_person_thaw:
            stages = Stages.POLICY if is_staged else Stages.NONE
            requested.append(asking.ask_to_thaw(batch, command, policy, [halt.id for halt in halts], stages, now))
        else:
            done += [thaw(batch, halt, actor_id, body.reason, policy, now, staged=is_staged) for halt in halts]
    of_tenant = None if command.tenant_id == NIL else command.tenant_id
    return Thawed(
        cleared=tuple(halt for halt in done if halt.cleared_at is not None),
        remaining=tuple(store.list_in_force(batch.connection, of_tenant, now)),
        thawing=tuple(halt for halt in done if halt.cleared_at is None),
        requested=tuple(requested),
        overridden=tuple(overridden),
    )


def thaw(
    batch: Batch, halt: HaltRecord, actor_id: str, reason: str, policy: Policy, now: Instant, *, staged: bool
) -> HaltRecord:
    """Ends a halt, or takes the first stage of its thaw. One that is being thawed already goes on at its own pace."""
    if not staged:
        return journalling.clear(batch, halt, actor_id, reason)
    if halt.next_stage_at is not None:
        return halt
    # Tenants of an installation follow each stage one after another; a single tenant's stages last a little longer.
    is_shared = halt.tenant_id is None
    jitter = policy.thaw_jitter_seconds
    halt = replace(
        halt,
        asked_level=halt.level,
        stage_us=stage_length(halt.id, halt.level, policy.thaw_stage_seconds, 0 if is_shared else jitter),
        spread_us=jitter * SECOND if is_shared and policy.thaw_stage_seconds else 0,
        thawed_by=actor_id,
        thaw_reason=reason,
    )
    halt = _take_stage(batch, halt, now)
    while halt.next_stage_at is not None and halt.next_stage_at <= now:
        halt = _take_stage(batch, halt, now)
    return halt


def _take_stage(batch: Batch, halt: HaltRecord, now: Instant) -> HaltRecord:
    below, spread = level_below(halt.level), halt.spread_us or 0
    if below is not None:
        halt = replace(
            halt,
            level=below,
            former_level=halt.level if spread else None,
            stage_at=now,
            next_stage_at=now + spread + (halt.stage_us or 0),
        )
        journalling.stage(batch, halt, below)
        return halt
    if spread and (halt.expires_at is None or halt.expires_at > now):
        # The last stage is an end that reaches the tenants one after another.
        halt = replace(halt, former_level=None, expires_at=now, next_stage_at=now + spread)
        journalling.stage(batch, halt, None)
        return halt
    return journalling.clear(batch, halt, halt.thawed_by or SYSTEM_ACTOR, halt.thaw_reason or "")


def _advance(batch: Batch, command: Command[Advance, Advanced]) -> Advanced:
    now = read_clock(batch.connection, batch.now)
    expired = staged = 0
    for halt in store.find_due(batch.connection, now):
        is_over = halt.expires_at is not None and halt.expires_at + (halt.spread_us or 0) <= now
        if is_over and halt.thawed_by is None:
            journalling.clear(batch, halt, SYSTEM_ACTOR, "expired", expired=True)
            expired += 1
        elif is_over:
            journalling.clear(batch, halt, halt.thawed_by or SYSTEM_ACTOR, halt.thaw_reason or "")
            staged += 1
        else:
            # One stage a round, however late: nobody was let in before it was their turn.
            _take_stage(batch, halt, now)
            staged += 1
    lapsed = policies.find_lapsed(batch.connection, now)
    for request in lapsed:
        journalling.settle(batch, request, "lapsed", command.actor_id, "nobody confirmed in time")
    return Advanced(expired, staged, len(lapsed))


def _is_staged(body: Unfreeze, policy: Policy) -> bool:
    if body.stages is None:
        return policy.is_saved
    if body.stages is Stages.NONE and policy.is_saved and policy.thaw_stage_seconds and not body.may_skip_stages:
        raise forbidden(RESUME_AT_ONCE)
    return body.stages is Stages.POLICY


def _overridden(policy: Policy) -> tuple[str, ...]:
    whose = "the installation" if policy.tenant_id is None else "this shop"
    words = []
    if policy.two_person_thaw:
        words.append(f"the rule that two people thaw {whose}")
    if policy.is_saved and policy.thaw_stage_seconds:
        words.append(f"the stages of {policy.thaw_stage_seconds} s in which {whose} is to come back")
    return tuple(words)


UNFREEZE: Operation[Unfreeze, Thawed] = Operation(
    "safety.unfreeze", Effect.CONTROL, Unfreeze, Thawed, _unfreeze, direct=True, touches=("ledger",)
)
ADVANCE: Operation[Advance, Advanced] = Operation(
    "safety.advance", Effect.CONTROL, Advance, Advanced, _advance, direct=True, touches=("ledger",)
)
