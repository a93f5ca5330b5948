"""The figures of the HTTP face, under the names that dashboards of the earlier systems ask for."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class HttpMetrics:
    """Requests, errors and durations by method and route template (never by address: that would be one series a ticket).

    Requests and errors carry the same labels, so that one divided by the other is an error rate; statuses are counted
    apart for that reason. An answer that says "stopped" is no error: nobody has to mend anything.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route")
        self.registry = registry
        self._requests = Counter("http_requests_total", "Requests answered.", labels, registry=registry)
        self._errors = Counter(
            "http_errors_total", "Requests answered with a fault of ours (5xx).", labels, registry=registry
        )
        self._statuses = Counter("http_responses_total", "Answers by status.", (*labels, "status"), registry=registry)
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from request to answer.",
            labels,
            registry=registry,
            buckets=BUCKETS,
        )
        self.under_way = Gauge("http_requests_under_way", "Requests being answered.", registry=registry)
        self._known: dict[tuple[str, str], tuple[Counter, Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float, *, halted: bool) -> None:
        """Counts one answer."""
        key = (method, route)
        series = self._known.get(key)
        if series is None:
            # The error series begins at zero together with the first request, so that a rate can always be divided.
            series = self._known[key] = (
                self._requests.labels(*key),
                self._errors.labels(*key),
                self._seconds.labels(*key),
            )
        requests, errors, duration = series
        requests.inc()
        duration.observe(seconds)
        self._statuses.labels(method, route, str(status)).inc()
        if status >= 500 and not halted:
            errors.inc()

    def render(self) -> bytes:
        """All figures of the process in the format of Prometheus: of this face, then of the modules and of Python itself,
        which count for the whole process."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)


def count_requests(registry: CollectorRegistry) -> tuple[int, int]:
    """(requests, of them with a fault of ours) that the HTTP face of this registry has answered; zeros where there is none."""
    sums = {"http_requests_total": 0.0, "http_errors_total": 0.0}
    # Only these two are gathered: the histogram has a hundred times as many series.
    for family in registry.restricted_registry(sums).collect():
        for sample in family.samples:
            sums[sample.name] += sample.value
    return int(sums["http_requests_total"]), int(sums["http_errors_total"])
