"""Facts about the stop."""

from __future__ import annotations

from dataclasses import dataclass

HALT_ACTIVATED = "halt_activated.v1"
HALT_CLEARED = "halt_cleared.v1"
HALT_STAGE_REACHED = "halt_stage_reached.v1"
THAW_REQUESTED = "thaw_requested.v1"
THAW_SETTLED = "thaw_settled.v1"
SAFETY_POLICY_CHANGED = "safety_policy_changed.v1"
DRILL_PASSED = "drill_passed.v1"
DRILL_FAILED = "drill_failed.v1"


@dataclass(frozen=True, slots=True)
class HaltActivated:
    """Somebody stopped a scope; a field that is None covers everything of its kind."""

    halt_id: str
    tenant_id: str | None
    module: str | None
    location_id: str | None
    level: str
    reason: str
    activated_by: str
    activated_at: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class HaltCleared:
    """Somebody let a scope go on."""

    halt_id: str
    tenant_id: str | None
    module: str | None
    location_id: str | None
    level: str
    reason: str
    cleared_by: str
    cleared_at: int


@dataclass(frozen=True, slots=True)
class HaltStageReached:
    """A thaw went one stage further; `level` is what still holds, None where nothing does once every tenant has followed."""

    halt_id: str
    tenant_id: str | None
    module: str | None
    location_id: str | None
    level: str | None
    next_stage_at: int | None
    thawed_by: str
    staged_at: int


@dataclass(frozen=True, slots=True)
class ThawRequested:
    """One person asked for what takes two; `kind` is `thaw` or `policy`."""

    request_id: str
    tenant_id: str | None
    kind: str
    reason: str
    requested_by: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class ThawSettled:
    """How it ended: `confirmed`, `refused` or `lapsed`."""

    request_id: str
    tenant_id: str | None
    kind: str
    outcome: str
    settled_by: str


@dataclass(frozen=True, slots=True)
class SafetyPolicyChanged:
    """Somebody changed how a tenant, or with None the installation, stops and thaws."""

    tenant_id: str | None
    two_person_thaw: bool
    thaw_stage_seconds: int
    saved_by: str


@dataclass(frozen=True, slots=True)
class DrillFinished:
    """A drill went through the real path of the stop; with findings it failed. Times in microseconds."""

    drill_id: str
    tenant_id: str | None
    module: str | None
    findings: tuple[str, ...]
    freeze_us: int | None
    everywhere_us: int | None


RULE_TRIPPED = "rule_tripped.v1"
RULE_CLEARED = "rule_cleared.v1"
RULE_CHANGED = "rule_changed.v1"


@dataclass(frozen=True, slots=True)
class RuleTripped:
    """A rule tripped on a subject (a product, a location, a product at a location; empty is the tenant itself). In mode
    `shadow` it only says what it would have done; `reach` is how much `action` stops."""

    trip_id: str
    rule: str
    subject: str
    mode: str
    action: str
    reach: str
    product_id: str | None
    location_id: str | None
    value: int
    samples: int
    threshold: int
    sentence: str
    tripped_at: int


@dataclass(frozen=True, slots=True)
class RuleCleared:
    """A rule that had tripped on a subject cleared."""

    trip_id: str
    rule: str
    subject: str
    value: int | None
    cleared_by: str
    cleared_at: int


@dataclass(frozen=True, slots=True)
class RuleChanged:
    """Somebody changed the settings of a rule. What it had tripped on (`let_go` subjects) cleared with that, without an event
    for each."""

    rule: str
    revision: int
    changed_by: str
    changed_at: int
    let_go: int
