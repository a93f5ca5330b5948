"""Workers in this process: the default, and what a shop with one machine needs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence

from nervio.kernel.ids import new_id
from nervio.ports.workers import (
    Answer,
    Assignment,
    Chunk,
    Do,
    Ending,
    Job,
    Master,
    Profile,
    Report,
    TaskFailed,
    Verdict,
)

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
AT_ONCE = 1_000
"""Reports of one moment that go to the master together."""
HELD_A_SLOT = 8
"""Tasks that are held at most. How many of them before they can begin is the dispatcher's to say: few, or short ones."""

TaskKey = tuple[str, str, int]
"""(tenant, task, token)"""


class LocalWorkers:
    """One worker that does `slots` tasks at once on this event loop; see `WorkerTransport`.

    It may hold several times as many tasks as it works on, so that it need not wait for the next. What blocks belongs into a thread of
    its own: the loop is everybody's.
    """

    name = "local"
    is_local = True

    def __init__(self, worker_id: str, kinds: Mapping[str, Do], models: Sequence[str] = (), *, slots: int = 2) -> None:
        self.profile = Profile(
            worker_id, new_id(), tuple(sorted(kinds)), tuple(models), slots, HELD_A_SLOT * slots, language="python"
        )
        self._kinds = kinds
        self._slots = asyncio.Semaphore(slots)
        self._tasks: dict[TaskKey, asyncio.Task[None]] = {}
        self._reports: list[Report] = []
        self._reporting: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._master: Master | None = None

    async def start(self, master: Master) -> None:
        """See `WorkerTransport`."""
        self._master = master
        self._beating = asyncio.create_task(self._beat(master), name="nervio-local-worker")
        master.joined(self, self.profile)

    async def assign(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""
        for assignment in assignments:
            key = assignment.tenant_id, assignment.task_id, assignment.token
            self._tasks[key] = asyncio.create_task(self._work(key, assignment))

    async def cancel(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""
        for assignment in assignments:
            task = self._tasks.pop((assignment.tenant_id, assignment.task_id, assignment.token), None)
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """See `WorkerTransport`. What is done and not yet reported is reported; what is not done is dropped."""
        ending = [*self._tasks.values(), *([self._beating] if self._beating else [])]
        self._tasks.clear()
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._reporting is not None:
            await asyncio.wait([self._reporting], timeout=LONGEST_PAUSE_SECONDS)
            self._reporting.cancel()

    async def _beat(self, master: Master) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            # Joined again where it had been given up: this loop may have stood still for longer than its lease.
            master.joined(self, self.profile)

    async def _work(self, key: TaskKey, assignment: Assignment) -> None:
        async with self._slots:
            report = await self._do(assignment)
        self._tasks.pop(key, None)
        self._reports.append(report)
        if self._reporting is None or self._reporting.done():
            self._reporting = asyncio.create_task(self._report(), name="nervio-local-reports")

    async def _do(self, assignment: Assignment) -> Report:
        started, n = time.monotonic(), 0

        def emit(text: str) -> None:
            nonlocal n
            assert self._master is not None
            chunk = Chunk(assignment.tenant_id, assignment.task_id, assignment.token, n, text)
            n += 1
            self._master.chunk(self.profile.id, chunk)

        def ended(ending: Ending, error: str = "", **more: object) -> Report:
            seconds = time.monotonic() - started
            return Report(
                assignment.tenant_id,
                assignment.task_id,
                assignment.token,
                ending,
                error=error,
                seconds=seconds,
                **more,  # type: ignore[arg-type]
            )

        try:
            job = Job(assignment, json.loads(assignment.payload), emit)
            answer: Answer = await self._kinds[assignment.kind](job)
            usage = None if answer.usage is None else json.dumps(answer.usage)
            return ended(Ending.DONE, result=json.dumps(answer.result, ensure_ascii=False), usage=usage)
        except TaskFailed as failure:
            return ended(
                Ending.FAILED,
                str(failure),
                may_help=failure.may_help,
                retry_after_seconds=failure.retry_after_seconds,
            )
        except Exception as bug:
            log.exception("task_crashed", extra={"kind": assignment.kind, "task": assignment.task_id})
            return ended(Ending.FAILED, f"{type(bug).__name__}: {bug}")

    async def _report(self) -> None:
        assert self._master is not None
        pause = FIRST_PAUSE_SECONDS
        while self._reports:
            batch = self._reports[:AT_ONCE]
            del self._reports[:AT_ONCE]
            verdicts = await self._master.report(self.profile.id, batch)
            again = [report for report, verdict in zip(batch, verdicts, strict=True) if verdict is Verdict.RETRY]
            if again:
                self._reports[:0] = again
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS
