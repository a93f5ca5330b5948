"""The figures of the rules that watch."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TRIPS = Counter("nervio_rule_trips_total", "Rules that tripped.", ("rule", "mode"))
CLEARS = Counter("nervio_rule_clears_total", "Rules that cleared by themselves.", ("rule",))
CRITICAL = Counter("nervio_critical_stock_total", "Products that the rule found at or below their critical level.")
CRITICAL_STOPS = Counter(
    "nervio_critical_stock_stops_total",
    "Actions of the critical stock rule that were carried out; divided by nervio_critical_stock_total: stops per critical "
    "stock.",
)
DEEDS_FAILED = Counter(
    "nervio_rule_actions_failed_total", "Attempts to act on a trip that failed and are repeated.", ("rule",)
)
PROBES_FAILED = Counter("nervio_rule_probes_failed_total", "Figures that could not be read.", ("probe",))
EVALUATION_SECONDS = Histogram(
    "nervio_rule_evaluation_seconds",
    "Seconds that a round over the rules took.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5),
)
