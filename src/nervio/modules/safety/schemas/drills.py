"""Request and response models of drills."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.time import to_iso
from nervio.modules.safety.contracts.drills import Drill, DrillScope, DrillState
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.safety.schemas.halts import iso_or_none


class DrillRequest(BaseModel):
    """Which stop to try."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope = Field(Scope.TENANT, description="`installation` needs a superadmin.")
    module: str | None = Field(
        None, description="Only this module of the shop; left out: all of it.", examples=["sales"]
    )


class DrillReply(BaseModel):
    """A drill and how it went."""

    id: str
    scope: Scope
    module: str | None
    outcome: Literal["running", "passed", "failed"]
    asked_by: str
    started_at: str
    finished_at: str | None
    freeze_ms: float | None = Field(description="From asking to the acknowledgement.")
    everywhere_ms: float | None = Field(description="From asking until every process had seen it.")
    processes: int | None
    findings: list[str] = Field(description="What went wrong, as codes; empty when everything held.")

    @classmethod
    def of(cls, drill: Drill) -> DrillReply:
        return cls.model_validate(
            {
                "id": drill.id,
                "scope": drill.scope,
                "module": drill.module,
                "outcome": drill.outcome,
                "asked_by": drill.asked_by,
                "started_at": to_iso(drill.started_at),
                "finished_at": iso_or_none(drill.finished_at),
                "freeze_ms": None if drill.freeze_us is None else drill.freeze_us / 1000,
                "everywhere_ms": None if drill.everywhere_us is None else drill.everywhere_us / 1000,
                "processes": drill.processes,
                "findings": list(drill.findings),
            }
        )


class DrillScopeReply(BaseModel):
    """A scope that matters, and how its stop stands."""

    scope: Scope
    module: str | None
    state: DrillState = Field(description="Everything but `passed` and `running` is red.")
    red: bool
    last: DrillReply | None

    @classmethod
    def of(cls, stand: DrillScope) -> DrillScopeReply:
        last = None if stand.last is None else DrillReply.of(stand.last)
        return cls(scope=stand.scope, module=stand.module, state=stand.state, red=stand.is_red, last=last)


class DrillsReply(BaseModel):
    """Every scope, red ones first, and the last drills."""

    scopes: list[DrillScopeReply]
    items: list[DrillReply]
