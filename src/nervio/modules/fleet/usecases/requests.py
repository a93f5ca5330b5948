"""How many requests somebody may send: a moving window in memory, since what it guards against is haste, not cost."""

from __future__ import annotations

import math
from collections import deque

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError

MOST_KEPT = 10_000
"""People and keys; from there on those whose window is over are forgotten first, and then the ones that came first."""

Who = tuple[str, str]
"""(tenant, person or key)"""


class RequestWindows:
    """The last requests of each. A process counts for itself, on its event loop."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._windows: dict[Who, deque[float]] = {}

    def count(self, who: Who, now: float) -> float:
        """Counts a request at a monotonic time; seconds until it would fit in, 0 where it does and is counted."""
        window = self._windows.get(who)
        if window is None:
            if len(self._windows) >= MOST_KEPT:
                self._forget(now)
            window = self._windows[who] = deque()
        while window and window[0] <= now - self._seconds:
            window.popleft()
        if len(window) >= self._most:
            return window[0] + self._seconds - now
        window.append(now)
        return 0.0

    def _forget(self, now: float) -> None:
        over = [who for who, window in self._windows.items() if not window or window[-1] <= now - self._seconds]
        for who in over or list(self._windows)[: MOST_KEPT // 10]:
            del self._windows[who]


def count_request(ctx: Ctx, windows: RequestWindows) -> None:
    """Counts a request that queues tasks, however many. Raises `too_many` with `retry_after_seconds`."""
    wait = windows.count((ctx.tenant_id, ctx.actor_id), ctx.clock.monotonic())
    if wait > 0:
        seconds = max(1, math.ceil(wait))
        raise NervioError(
            Kind.TOO_MANY,
            "too_many_requests",
            f"Too many requests; the next is taken in {seconds} seconds. POST /api/tasks/batch queues up to 1000 tasks in one.",
            retry_after_seconds=seconds,
        )
