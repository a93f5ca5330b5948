"""Figures of the fleet for Prometheus."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from nervio.modules.fleet.domain.tasks import KINDS

SUBMITTED = Counter("nervio_fleet_tasks_submitted_total", "Tasks that were queued.", ["kind"])
ATTEMPTS = Counter("nervio_fleet_attempts_total", "Attempts that ended, by how they did.", ["ending"])
REPORTS_NOT_TAKEN = Counter(
    "nervio_fleet_reports_not_taken_total", "Reports of workers that were late or made no sense.", ["verdict"]
)
WORK_SECONDS = Histogram(
    "nervio_fleet_work_seconds",
    "How long tasks that were done had been worked on.",
    ["kind"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
WORKERS = Gauge("nervio_fleet_workers", "Workers that are connected to this process.", ["status"])
IN_FLIGHT = Gauge("nervio_fleet_in_flight", "Tasks that workers of this process hold.")
LEASES_RUN_OUT = Counter(
    "nervio_fleet_worker_leases_run_out_total", "Workers that were given up because they were silent."
)


work_seconds_of = cache(WORK_SECONDS.labels)
"""The histogram of a label: looking it up anew costs more than counting."""


def label_of(kind: str) -> str:
    """A kind as a label: those that tenants make up share one, or a few of them would make a thousand series."""
    return kind if kind in KINDS else "other"
