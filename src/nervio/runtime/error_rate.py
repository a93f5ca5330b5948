"""How many of this process's requests end with a fault of ours, as a figure for the rules of safety.

It is counted where the rules run: a process that only schedules answers no requests, and then there is nothing to measure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nervio.db.context import Ctx
from nervio.kernel.money import BASIS_POINT_SCALE
from nervio.ports.probes import About, Question, Reading
from nervio.web.manifest import Probe

SECONDS = 5.0
LONGEST_WINDOW_SECONDS = 3_600

Counts = tuple[int, int]
"""(requests, of them with a fault of ours), since the process began."""


class ErrorRate:
    """Remembers the counts of the last hour, so that any window in it can be told."""

    def __init__(self, count: Callable[[], Counts]) -> None:
        self._count = count
        self._seen: deque[tuple[float, Counts]] = deque()

    def probe(self) -> Probe:
        """The figure as the rules are fed it. The process serves all tenants, so each is told the same."""
        return Probe(
            "http.error_rate",
            "bp",
            About.TENANT,
            "Requests that this process answered with a fault of ours (5xx), of all that it answered in the window.",
            seconds=SECONDS,
            read=self.read,
        )

    async def read(self, ctx: Ctx, question: Question) -> list[Reading]:
        """One reading; its samples are the requests of the window."""
        at = ctx.clock.monotonic()
        if not self._seen or at - self._seen[-1][0] >= 1.0:
            self._seen.append((at, self._count()))
        while len(self._seen) > 1 and at - self._seen[1][0] >= LONGEST_WINDOW_SECONDS:
            self._seen.popleft()
        start = at - question.window_seconds
        before = next((counts for seen, counts in reversed(self._seen) if seen <= start), self._seen[0][1])
        requests, errors = (now - then for now, then in zip(self._seen[-1][1], before, strict=True))
        share = errors * BASIS_POINT_SCALE // requests if requests else 0
        return [Reading("", share, requests, figures={"errors_count": errors, "samples_count": requests})]
