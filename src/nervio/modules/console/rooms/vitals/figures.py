"""Which figures are vital signs, and reading them from the metrics of this process.

They are the very metrics that Prometheus collects. A process knows its own only; where several share the work, each shows
its part and Prometheus the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry

Samples = Mapping[str, float]
"""The sum of each metric over its labels, by the name of its samples."""


@dataclass(frozen=True, slots=True)
class Vital:
    """A figure: metrics that are added up, or with `per` divided by others. `calm`: anything above zero wants a look."""

    name: str
    metrics: tuple[str, ...]
    per: str = ""
    calm: bool = False

    def read(self, samples: Samples) -> float | None:
        """The figure; None where there is nothing to divide by."""
        total = sum(samples.get(metric, 0.0) for metric in self.metrics)
        if not self.per:
            return total
        parts = samples.get(self.per, 0.0)
        return total / parts if parts else None


GROUPS: Mapping[str, tuple[Vital, ...]] = {
    "events": (
        Vital("published", ("nervio_events_published_total",)),
        Vital("handled", ("nervio_events_handled_total",)),
        Vital("failed", ("nervio_events_failed_total", "nervio_events_handler_failures_total"), calm=True),
        Vital("dead", ("nervio_events_dead_total",), calm=True),
        Vital("lag", ("nervio_events_lag_positions",)),
    ),
    "refused": (
        Vital("tickets", ("nervio_tickets_refused_total",)),
        Vital("units", ("nervio_ticket_units_refused_total", "nervio_stock_units_refused_total")),
        Vital("stale", ("nervio_stale_writes_refused_total",), calm=True),
    ),
    "locks": (
        Vital("waits", ("nervio_lock_waits_total",)),
        Vital("expiries", ("nervio_lock_expiries_total",), calm=True),
        Vital("lost", ("nervio_lock_lost_total",), calm=True),
    ),
    "rules": (
        Vital("trips", ("nervio_rule_trips_total",), calm=True),
        Vital("critical", ("nervio_critical_stock_total",)),
        Vital("stops_per_critical", ("nervio_critical_stock_stops_total",), per="nervio_critical_stock_total"),
    ),
    "actions": (
        Vital("open", ("nervio_actions_open",)),
        Vital("requests", ("nervio_action_requests_total",)),
        Vital("alerts", ("nervio_alerts_total",)),
    ),
}
"""Every vital sign, in the order of the page."""


def read_samples(registry: CollectorRegistry = REGISTRY) -> dict[str, float]:
    """What the metrics of this process stand at."""
    found: dict[str, float] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def read_vitals(samples: Samples, number: Callable[[int], str]) -> list[tuple[str, list[dict[str, str]]]]:
    """The groups as the page shows them: name, text and state (`ok` or `warn`) of each figure."""
    return [(group, [_shown(vital, samples, number) for vital in vitals]) for group, vitals in GROUPS.items()]


def _shown(vital: Vital, samples: Samples, number: Callable[[int], str]) -> dict[str, str]:
    value = vital.read(samples)
    if value is None:
        text = "—"
    elif vital.per:
        text = f"{number(round(100 * value))} %"
    else:
        text = number(round(value))
    return {"name": vital.name, "text": text, "state": "warn" if vital.calm and value else "ok"}
