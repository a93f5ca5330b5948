"""Request and response models of the emergency endpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.time import to_iso
from nervio.modules.safety.contracts import Frozen, HaltRecord, Pending, Scope, Status, Thawed

LevelName = Literal["reduce_only", "read_only", "all"]


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

    level: LevelName = Field(
        "all",
        description="`reduce_only` lets returns and releases pass, `read_only` lets reading pass, `all` stops reading too.",
    )


class UnfreezeRequest(_ScopeOf):
    """What to let go on, and why."""

    level: LevelName | None = Field(None, description="Only halts of this level; left out: of any.")


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
                "cleared_at": None if halt.cleared_at is None else to_iso(halt.cleared_at),
                "clear_reason": halt.clear_reason,
            }
        )


class FrozenReply(BaseModel):
    """The acknowledgement of a stop: no write in the scope has committed since, on any process."""

    pending: Literal[False] = False
    already: bool = Field(description="It was stopped in the same scope before; the halt is the one that was there.")
    halt: HaltReply

    @classmethod
    def of(cls, frozen: Frozen) -> FrozenReply:
        return cls(already=frozen.already, halt=HaltReply.of(frozen.halt))


class ThawedReply(BaseModel):
    """What was let go, and what still stops the caller."""

    pending: Literal[False] = False
    cleared: list[HaltReply]
    remaining: list[HaltReply]

    @classmethod
    def of(cls, thawed: Thawed) -> ThawedReply:
        return cls(
            cleared=[HaltReply.of(halt) for halt in thawed.cleared],
            remaining=[HaltReply.of(halt) for halt in thawed.remaining],
        )


class PendingReply(BaseModel):
    """Not acknowledged: a process still holds the writers' lock. End it, then ask again."""

    pending: Literal[True] = True
    process_id: int | None = Field(description="The process that holds the lock, where it is known.")
    detail: str

    @classmethod
    def of(cls, pending: Pending) -> PendingReply:
        return cls(process_id=pending.process_id, detail=pending.detail)
