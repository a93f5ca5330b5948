"""The machine's own clock."""

from __future__ import annotations

import time

from nervio.kernel.time import Instant


class SystemClock:
    """Wall and monotonic time of this machine."""

    def now(self) -> Instant:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()
