"""What of the rules and alerts is over, so that it may be pruned by its age. What still stands never goes."""

from __future__ import annotations

from sqlalchemy import and_, select

from nervio.db.pruning import Aged
from nervio.modules.safety.contracts.rules import Phase
from nervio.modules.safety.models.alerts import alert_deliveries, alerts
from nervio.modules.safety.models.rules import rule_states, rule_trips
from nervio.modules.safety.store.rules import TO_DO

_A, _D, _S, _T = alerts.c, alert_deliveries.c, rule_states.c, rule_trips.c


def aged_trips(days: int) -> tuple[Aged, ...]:
    """Trips that were cleared and acted on; states that have cooled down, whose subject may be long gone."""
    return (
        Aged(rule_trips, days, _T.cleared_at, _T.outcome != TO_DO),
        Aged(rule_states, days, _S.quiet_at, _S.phase == Phase.COOLING.value),
    )


def aged_alerts(days: int) -> Aged:
    """Alerts that somebody has seen and of which no delivery is under way, with their deliveries."""
    under_way = select(_D.id).where(_D.tenant_id == _A.tenant_id, _D.alert_id == _A.id, _D.settled_at.is_(None))
    seen = and_(_A.acknowledged_at.is_not(None), ~under_way.exists())
    return Aged(alerts, days, _A.last_at, seen, (_D.tenant_id, _D.alert_id))
