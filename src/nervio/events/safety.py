"""Facts about the stop."""

from __future__ import annotations

from dataclasses import dataclass

HALT_ACTIVATED = "halt_activated.v1"
HALT_CLEARED = "halt_cleared.v1"


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
