"""Figures of orders to campaigns and of alerts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ACTIONS = Gauge(
    "nervio_actions_open", "Orders to campaigns that are not settled, by kind and state.", ("kind", "state")
)
TRANSITIONS = Counter("nervio_actions_total", "States that orders to campaigns came to.", ("kind", "state"))
STEPS = Counter("nervio_action_requests_total", "Requests to platforms, by what came of them.", ("step", "outcome"))
CONFIRM_SECONDS = Histogram(
    "nervio_action_confirm_seconds",
    "From the order to the reading that confirmed it.",
    ("kind",),
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600),
)
BREAKERS = Gauge("nervio_action_breakers", "Connections by the state of their breaker.", ("state",))
ALERTS = Counter(
    "nervio_alerts_total", "Alerts handed to a destination, by kind and by what came of it.", ("kind", "outcome")
)
