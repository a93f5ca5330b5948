"""What of this module is over and may be forgotten."""

from __future__ import annotations

from nervio.db.pruning import Aged
from nervio.modules.safety.store.retention import aged_alerts, aged_trips


def list_aged(trips_days: int, alerts_days: int) -> tuple[Aged, ...]:
    """What the pruner may remove: trips so many days after they were cleared, states of rules as long after they cooled down,
    alerts so many days after they were raised last. Never what is tripped, to be acted on, unseen or under way."""
    return (*aged_trips(trips_days), aged_alerts(alerts_days))


__all__ = ["list_aged"]
