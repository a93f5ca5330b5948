"""A master that writes down what a worker says and answers as the check wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nervio.ports.workers import Assignment, Chunk, Profile, Report, Verdict, WorkerTransport


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that the worker said, and when (monotonic)."""

    what: Profile | Chunk | Report | str
    at: float


class CheckMaster:
    """See `Master`. `verdict` decides on each report; by default all are accepted."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self.profile: Profile | None = None
        self.heard: list[Heard] = []
        self.beats = 0
        self.verdict: Callable[[Report], Verdict] = lambda _report: Verdict.ACCEPTED
        self._something = asyncio.Event()

    def joined(self, transport: WorkerTransport, profile: Profile) -> None:
        """See `Master`."""
        if profile.id == self._worker_id:
            self.profile = profile
            self._hear(profile)

    def seen(self, worker_id: str) -> None:
        """See `Master`."""
        self.beats += 1
        self._something.set()

    def left(self, worker_id: str, boot: str, reason: str) -> None:
        """See `Master`."""
        if self.profile is not None and (worker_id, boot) == (self._worker_id, self.profile.boot):
            self.profile = None
            self._hear(boot)

    def chunk(self, worker_id: str, chunk: Chunk) -> None:
        """See `Master`."""
        self._hear(chunk)

    async def report(self, worker_id: str, reports: Sequence[Report]) -> list[Verdict]:
        """See `Master`."""
        for report in reports:
            self._hear(report)
        return [self.verdict(report) for report in reports]

    def reports_of(self, assignment: Assignment) -> list[Report]:
        """What came of an attempt, each time that it was reported."""
        name = assignment.task_id, assignment.token
        reports = [one.what for one in self.heard if isinstance(one.what, Report)]
        return [report for report in reports if (report.task_id, report.token) == name]

    def told_of(self, assignment: Assignment) -> list[Chunk | Report]:
        """Parts and reports of an attempt, in the order in which they came."""
        told = [one.what for one in self.heard if isinstance(one.what, Chunk | Report)]
        return [one for one in told if (one.task_id, one.token) == (assignment.task_id, assignment.token)]

    async def until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Whether it came about within so many seconds."""
        end = time.monotonic() + seconds
        while not is_so():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._something.clear()
            try:
                async with asyncio.timeout(min(left, 0.25)):
                    await self._something.wait()
            except TimeoutError:
                continue
        return True

    def _hear(self, what: Profile | Chunk | Report | str) -> None:
        self.heard.append(Heard(what, time.monotonic()))
        self._something.set()
