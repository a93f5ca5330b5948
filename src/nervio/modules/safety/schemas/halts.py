"""Request and response models of the emergency endpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.time import Instant, to_iso
from nervio.modules.safety.contracts.halts import (
    Frozen,
    HaltRecord,
    Pending,
    Scope,
    Stages,
    Status,
    Thawed,
    ThawRequest,
)

LevelName = Literal["reduce_only", "read_only", "all"]


def iso_or_none(at: Instant | None) -> str | None:
    """RFC 3339, or nothing."""
    return None if at is None else to_iso(at)


class StatusReply(BaseModel):
    """Whether something is stopped."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"active": False, "activated_at": None, "activated_by": None, "reason": None}],
        }
    )

    active: bool
    activated_at: str | None
    activated_by: str | None
    reason: str | None

    @classmethod
    def of(cls, status: Status) -> StatusReply:
        return cls(
            active=status.active,
            activated_at=status.activated_at,
            activated_by=status.activated_by,
            reason=status.reason,
        )


class _ScopeOf(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        description="Why. Every screen shows it, and it stays in the journal.", examples=["Wrong prices"]
    )
    scope: Scope | None = Field(
        None, description="`installation` needs a superadmin. Left out: the widest that the caller may stop or resume."
    )
    module: str | None = Field(None, description="Only this module's writes.", examples=["sales"])
    location_id: str | None = Field(None, description="Only what happens at this location.")


class FreezeRequest(_ScopeOf):
    """What to stop, and why."""

    level: LevelName | None = Field(
        None,
        description="`reduce_only` lets returns and releases pass, `read_only` lets reading pass, `all` stops reading too. "
        "Left out: the level of the policy, which is `all` until somebody chose another.",
    )
    for_seconds: float | None = Field(
        None, description="How long. With neither this nor expires_at it lasts until somebody resumes.", examples=[1800]
    )
    expires_at: str | None = Field(None, description="Until when, with its zone.", examples=["2026-03-01T15:30:00Z"])


class UnfreezeRequest(_ScopeOf):
    """What to let go on, and why."""

    halt_id: str | None = Field(
        None,
        description="Only this stop, though others of the same scope stand. Instead of a scope, module, location and level.",
    )

    level: LevelName | None = Field(None, description="Only halts of this level; left out: of any.")
    stages: Stages | None = Field(
        None,
        description="`policy` lets people read first, then take goods back, then everything; `none` is at once and needs "
        "`safety.resume_at_once` where the policy has stages. Left out: at once, unless somebody saved a policy for the scope.",
    )


class HaltReply(BaseModel):
    """A halt, in force or over. Null in `module` or `location_id` means all of them."""

    id: str
    scope: Scope
    module: str | None
    location_id: str | None
    level: LevelName
    reason: str
    activated_by: str
    activated_at: str
    cleared_by: str | None
    cleared_at: str | None
    clear_reason: str | None
    expires_at: str | None = Field(description="Null: it lasts until somebody resumes.")
    asked_level: LevelName = Field(description="The level it began with; `level` is less during a thaw in stages.")
    next_stage_at: str | None = Field(description="When its thaw goes one stage further; null while nobody thaws it.")
    thawed_by: str | None

    @classmethod
    def of(cls, halt: HaltRecord) -> HaltReply:
        return cls.model_validate(
            {
                "id": halt.id,
                "scope": halt.scope,
                "module": halt.module,
                "location_id": halt.location_id,
                "level": halt.level,
                "reason": halt.reason,
                "activated_by": halt.activated_by,
                "activated_at": to_iso(halt.activated_at),
                "cleared_by": halt.cleared_by,
                "cleared_at": iso_or_none(halt.cleared_at),
                "clear_reason": halt.clear_reason,
                "expires_at": iso_or_none(halt.expires_at),
                "asked_level": halt.asked_level or halt.level,
                "next_stage_at": iso_or_none(halt.next_stage_at),
                "thawed_by": halt.thawed_by,
            }
        )


class ThawRequestReply(BaseModel):
    """What one person asked for and another has to confirm."""

    id: str
    scope: Scope
    kind: Literal["thaw", "policy"]
    halt_ids: list[str]
    reason: str
    requested_by: str
    requested_at: str
    expires_at: str = Field(description="Until then somebody else has to confirm.")
    outcome: Literal["confirmed", "refused", "lapsed"] | None = Field(description="Null while it is open.")
    settled_by: str | None
    settled_at: str | None
    note: str | None

    @classmethod
    def of(cls, request: ThawRequest) -> ThawRequestReply:
        return cls.model_validate(
            {
                "id": request.id,
                "scope": request.scope,
                "kind": request.kind,
                "halt_ids": list(request.halt_ids),
                "reason": request.reason,
                "requested_by": request.requested_by,
                "requested_at": to_iso(request.requested_at),
                "expires_at": to_iso(request.expires_at),
                "outcome": request.outcome,
                "settled_by": request.settled_by,
                "settled_at": iso_or_none(request.settled_at),
                "note": request.note,
            }
        )


class InFlightReply(BaseModel):
    """An order to a campaign whose request may be under way."""

    action_id: str
    campaign_id: str
    kind: str
    platform: str


class FrozenReply(BaseModel):
    """The acknowledgement of a stop: no write in the scope has committed since, on any process."""

    pending: Literal[False] = False
    already: bool = Field(description="It was stopped in the same scope before; the halt is the one that was there.")
    halt: HaltReply
    in_flight: list[InFlightReply] = Field(
        default_factory=list, description="Orders to campaigns that had left before the stop and cannot be called back."
    )

    @classmethod
    def of(cls, frozen: Frozen) -> FrozenReply:
        return cls(
            already=frozen.already,
            halt=HaltReply.of(frozen.halt),
            in_flight=[InFlightReply.model_validate(one, from_attributes=True) for one in frozen.in_flight],
        )


class ThawedReply(BaseModel):
    """What was let go, and what still stops the caller. Where two people have to agree, `requested` waits for the second."""

    pending: Literal[False] = False
    cleared: list[HaltReply]
    remaining: list[HaltReply]
    thawing: list[HaltReply] = Field(description="Of the remaining those that now go from stage to stage.")
    requested: list[ThawRequestReply]

    @classmethod
    def of(cls, thawed: Thawed) -> ThawedReply:
        return cls(
            cleared=[HaltReply.of(halt) for halt in thawed.cleared],
            remaining=[HaltReply.of(halt) for halt in thawed.remaining],
            thawing=[HaltReply.of(halt) for halt in thawed.thawing],
            requested=[ThawRequestReply.of(request) for request in thawed.requested],
        )


class PendingReply(BaseModel):
    """Not acknowledged: a process still holds the writers' lock. End it, then ask again."""

    pending: Literal[True] = True
    process_id: int | None = Field(description="The process that holds the lock, where it is known.")
    detail: str

    @classmethod
    def of(cls, pending: Pending) -> PendingReply:
        return cls(process_id=pending.process_id, detail=pending.detail)
