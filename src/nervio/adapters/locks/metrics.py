"""The figures of the locks. A lock is counted under its family, what stands before the first colon of its name: names may
hold ids, and every label is a series for ever."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

_LABEL = ("lock",)
WAITS = Counter(
    "nervio_lock_waits_total", "Times that a lock was held by somebody else and had to be waited for.", _LABEL
)
WAIT_SECONDS = Histogram(
    "nervio_lock_wait_seconds",
    "Seconds from asking for a lock to having it or giving up.",
    _LABEL,
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
TIMEOUTS = Counter("nervio_lock_timeouts_total", "Times that a lock was not to be had in time.", _LABEL)
EXPIRIES = Counter("nervio_lock_expiries_total", "Leases taken over because their holder let them run out.", _LABEL)
LOST = Counter("nervio_lock_lost_total", "Leases whose holder found that somebody else has them.", _LABEL)


def family_of(name: str) -> str:
    """The label under which a lock is counted."""
    return name.partition(":")[0]
