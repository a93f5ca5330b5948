"""The live lines that are open in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.fleet.metrics import LINES


class Lines:
    """How many lines each person, or key, has open. On the event loop."""

    def __init__(self, most_per_person: int) -> None:
        self._most = most_per_person
        self._open: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def counting(self, ctx: Ctx) -> Iterator[None]:
        """Counts a line for as long as it is open. Raises `too_many`."""
        who = ctx.tenant_id, ctx.actor_id
        if self._open[who] >= self._most:
            raise NervioError(
                Kind.TOO_MANY,
                "too_many_lines",
                f"{self._most} live lines are open already; close one, or follow several tasks over the same one.",
                limit=self._most,
                retry_after_seconds=5,
            )
        self._open[who] += 1
        LINES.inc()
        try:
            yield
        finally:
            LINES.dec()
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]
