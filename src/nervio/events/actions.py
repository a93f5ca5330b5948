"""Facts about what Nervio does outside itself, and about what it calls for help with."""

from __future__ import annotations

from dataclasses import dataclass

ACTION_BOOKED = "action_booked.v1"
ACTION_CONFIRMED = "action_confirmed.v1"
ACTION_ESCALATED = "action_escalated.v1"
ACTION_FAILED = "action_failed.v1"
CRITICAL_FAILURE = "critical_failure.v1"


@dataclass(frozen=True, slots=True)
class ActionChanged:
    """An order to a campaign was booked, confirmed by reading back, escalated or given up; the type says which."""

    action_id: str
    campaign_id: str
    connection_id: str
    kind: str
    state: str
    cause: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class CriticalFailure:
    """Somebody or something found what must not wait; the alert of the same id is on its way."""

    alert_id: str
    code: str
    title: str
    body: str
    raised_by: str
