"""Figures of background jobs for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "nervio_jobs_attempts_total", "Attempts at jobs that ended here, by how they did.", ["job", "ending"]
)
RUNNING = Gauge("nervio_jobs_running", "Jobs that this process works on.")
UNKNOWN = Gauge("nervio_jobs_unknown_waiting", "Jobs that wait and that no module of this program knows.")
TAKEN_OVER = Counter("nervio_jobs_taken_over_total", "Jobs whose process was gone, handed back to the queue.")
DISPATCH_SECONDS = Histogram(
    "nervio_jobs_dispatch_seconds",
    "From when a job might begin until its handler does.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
)
WORK_SECONDS = Histogram(
    "nervio_jobs_work_seconds",
    "How long attempts at jobs took.",
    ["job"],
    buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600),
)
