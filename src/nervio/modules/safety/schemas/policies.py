"""Request and response models of the policy of stops and of what takes two people."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nervio.modules.safety.contracts.halts import Policy, PolicySaved, Scope, Settled, ThawRequest
from nervio.modules.safety.schemas.halts import HaltReply, LevelName, ThawRequestReply, iso_or_none


class PolicyReply(BaseModel):
    """How a shop, or the installation, stops and thaws."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scope": "tenant",
                    "two_person_thaw": True,
                    "thaw_stage_seconds": 10,
                    "thaw_jitter_seconds": 5,
                    "confirm_within_seconds": 900,
                    "default_level": "all",
                    "saved_by": None,
                    "saved_at": None,
                }
            ]
        }
    )

    scope: Scope
    two_person_thaw: bool = Field(description="Whether a second person has to confirm a thaw.")
    thaw_stage_seconds: int = Field(description="Between two stages of a thaw; 0 takes them all at once.")
    thaw_jitter_seconds: int = Field(
        description="The installation: time in which its shops follow a stage. A shop: up to so much longer a stage takes."
    )
    confirm_within_seconds: int = Field(description="How long a request waits for the second person.")
    default_level: LevelName = Field(description="The level of a stop that names none.")
    saved_by: str | None = Field(description="Null: nobody has chosen yet.")
    saved_at: str | None

    @classmethod
    def of(cls, policy: Policy) -> PolicyReply:
        return cls.model_validate(
            {
                "scope": Scope.INSTALLATION if policy.tenant_id is None else Scope.TENANT,
                "two_person_thaw": policy.two_person_thaw,
                "thaw_stage_seconds": policy.thaw_stage_seconds,
                "thaw_jitter_seconds": policy.thaw_jitter_seconds,
                "confirm_within_seconds": policy.confirm_within_seconds,
                "default_level": policy.default_level,
                "saved_by": policy.saved_by,
                "saved_at": iso_or_none(policy.saved_at),
            }
        )


class PolicyRequest(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope = Field(Scope.TENANT, description="`installation` needs a superadmin.")
    two_person_thaw: bool | None = None
    thaw_stage_seconds: int | None = Field(None, description="0 to 3600.")
    thaw_jitter_seconds: int | None = Field(None, description="0 to 3600.")
    confirm_within_seconds: int | None = Field(None, description="30 to 604800.")
    default_level: LevelName | None = None


class PolicySavedReply(BaseModel):
    """The policy in force. With `requested` nothing changed yet: something is stopped, and turning the rule of two off takes
    two people itself."""

    policy: PolicyReply
    requested: ThawRequestReply | None

    @classmethod
    def of(cls, saved: PolicySaved) -> PolicySavedReply:
        requested = None if saved.requested is None else ThawRequestReply.of(saved.requested)
        return cls(policy=PolicyReply.of(saved.policy), requested=requested)


class SettleRequest(BaseModel):
    """What was checked, or why not."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(description="It stays in the journal.", examples=["Prices checked against the list"])


class SettledReply(BaseModel):
    """How the request ended, and what that did."""

    pending: Literal[False] = False
    request: ThawRequestReply
    cleared: list[HaltReply]
    thawing: list[HaltReply]

    @classmethod
    def of(cls, settled: Settled) -> SettledReply:
        return cls(
            request=ThawRequestReply.of(settled.request),
            cleared=[HaltReply.of(halt) for halt in settled.cleared],
            thawing=[HaltReply.of(halt) for halt in settled.thawing],
        )


class ThawRequestsReply(BaseModel):
    """Requests, the newest first."""

    items: list[ThawRequestReply]

    @classmethod
    def of(cls, requests: list[ThawRequest]) -> ThawRequestsReply:
        return cls(items=[ThawRequestReply.of(request) for request in requests])
