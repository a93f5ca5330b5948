"""Figures of the fleet for Prometheus."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.fleet.domain.tasks import KINDS
from nervio.modules.fleet.domain.use import Use

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
LINES = Gauge("nervio_fleet_live_lines", "Live lines (WebSocket, Socket.IO) that are open to this process.")
LINES_CUT = Counter(
    "nervio_fleet_live_lines_cut_total",
    "Live lines that this process ended itself, by the code of the reason.",
    ["code"],
)
TOKENS = Counter("nervio_fleet_tokens_total", "Tokens that attempts used.", ["kind", "direction"])
COST = Counter(
    "nervio_fleet_cost_micros_total", "What attempts cost, in millionths of the currency's unit.", ["kind", "currency"]
)
COSTS_NOT_COUNTED = Counter(
    "nervio_fleet_costs_not_counted_total", "Costs that workers told and that were too much to be true for a day."
)
REFUSED_BY_LIMIT = Counter("nervio_fleet_tasks_refused_total", "Tasks that a limit of their tenant refused.", ["limit"])

CURRENCIES = frozenset(
    {"ARS", "BOB", "BRL", "CLP", "CNY", "COP", "EUR", "GBP", "INR", "JPY", "MXN", "PEN", "PYG", "USD", "UYU"}
)
"""That are a label of their own. A worker may write any three letters, and each would be a series."""


def count_use(kind: str, use: Use) -> None:
    """Counts what an attempt used that was accepted."""
    label = label_of(kind)
    if use.input_tokens:
        TOKENS.labels(label, "input").inc(use.input_tokens)
    if use.output_tokens:
        TOKENS.labels(label, "output").inc(use.output_tokens)
    if use.cost_micros:
        COST.labels(label, use.currency if use.currency in CURRENCIES else "other").inc(use.cost_micros)


def count_refusal(refusal: NervioError) -> None:
    """Counts a task that a limit refused; of other refusals nothing is."""
    measure, period = refusal.data.get("measure"), refusal.data.get("period")
    if refusal.kind is Kind.TOO_MANY and measure is not None:
        REFUSED_BY_LIMIT.labels(f"{measure}_per_{period}").inc()


work_seconds_of = cache(WORK_SECONDS.labels)
"""The histogram of a label: looking it up anew costs more than counting."""


def label_of(kind: str) -> str:
    """A kind as a label: those that tenants make up share one, or a few of them would make a thousand series."""
    return kind if kind in KINDS else "other"
