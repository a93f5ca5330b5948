"""How many requests end with a fault of ours, over all processes, as a figure for the rules of safety.

Each process counts its own and, where others share its database, writes its sums there every few seconds. Whichever evaluates
the rules adds them up; its own it knows without asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from nervio.db import request_counts
from nervio.db.context import Ctx
from nervio.db.request_counts import Counts
from nervio.kernel.money import BASIS_POINT_SCALE
from nervio.kernel.time import SECOND
from nervio.ports.probes import About, Question, Reading
from nervio.web.manifest import Probe

log = logging.getLogger(__name__)

SECONDS = 5.0
LONGEST_WINDOW_SECONDS = 3_600
PUBLISH_SECONDS = 5.0
"""How often a process that answered something writes down how much."""
SIGN_OF_LIFE_SECONDS = 600.0
"""How often one that did not does so all the same, so that its row is not taken for a dead process's."""
FORGET_SECONDS = 2 * LONGEST_WINDOW_SECONDS


class ErrorRate:
    """Remembers the counts of the last hour, so that any window in it can be told."""

    def __init__(self, count: Callable[[], Counts], process_id: str) -> None:
        self._count, self._process_id = count, process_id
        self._seen: deque[tuple[float, Mapping[str, Counts]]] = deque()

    def probe(self) -> Probe:
        """The figure as the rules are fed it. The processes serve all tenants, so each is told the same."""
        return Probe(
            "http.error_rate",
            "bp",
            About.TENANT,
            "Requests that all processes answered with a fault of ours (5xx), of all that they answered in the window.",
            seconds=SECONDS,
            read=self.read,
        )

    async def read(self, ctx: Ctx, question: Question) -> list[Reading]:
        """One reading; its samples are the requests of the window."""
        at = ctx.clock.monotonic()
        if not self._seen or at - self._seen[-1][0] >= 1.0:
            written = await ctx.database.read(request_counts.read_all)
            self._seen.append((at, {**written, self._process_id: self._count()}))
        while len(self._seen) > 1 and at - self._seen[1][0] >= LONGEST_WINDOW_SECONDS:
            self._seen.popleft()
        start = at - question.window_seconds
        before = next((counts for seen, counts in reversed(self._seen) if seen <= start), self._seen[0][1])
        requests = errors = 0
        for process_id, (answered, failed) in self._seen[-1][1].items():
            # One that was not there then has begun since, with nothing.
            answered_then, failed_then = before.get(process_id, (0, 0))
            requests, errors = requests + answered - answered_then, errors + failed - failed_then
        share = errors * BASIS_POINT_SCALE // requests if requests else 0
        return [Reading("", share, requests, figures={"errors_count": errors, "samples_count": requests})]


class CountsWriter:
    """Writes down what this process has answered, for others to add up. Only where processes share a database."""

    def __init__(self, ctx: Ctx, count: Callable[[], Counts], process_id: str) -> None:
        self._ctx, self._count, self._process_id = ctx, count, process_id
        self._written: Counts = (0, 0)
        self._written_at = ctx.clock.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to write."""
        self._task = asyncio.create_task(self._write_forever(), name="nervio-request-counts")

    async def stop(self) -> None:
        """Writes the last sums and ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._try_to_write()

    async def write(self) -> None:
        """Writes the sums where they have changed, or now and then. Raises what the store raises."""
        counts, at, now = self._count(), self._ctx.clock.monotonic(), self._ctx.clock.now()
        is_quiet = counts == self._written and at - self._written_at < SIGN_OF_LIFE_SECONDS
        if is_quiet or counts == (0, 0):
            return

        def work(connection: Connection) -> None:
            request_counts.write(connection, self._process_id, counts, now)
            request_counts.forget(connection, now - FORGET_SECONDS * SECOND)

        await self._ctx.database.bookkeep("count_requests", work)
        self._written, self._written_at = counts, at

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            await self._try_to_write()

    async def _try_to_write(self) -> None:
        try:
            await self.write()
        except Exception as error:  # noqa: BLE001 (the next sums hold these)
            log.info("requests_not_counted", extra={"error": str(error) or type(error).__name__})
