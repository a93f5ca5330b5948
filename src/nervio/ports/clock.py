"""Where time comes from, so that tests and simulations can hold it still."""

from __future__ import annotations

from typing import Protocol

from nervio.kernel.time import Instant


class Clock(Protocol):
    """Wall time for facts, monotonic time for leases and time-outs."""

    def now(self) -> Instant:
        """Microseconds since the epoch, UTC. May step when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back; only differences mean anything."""
        ...
