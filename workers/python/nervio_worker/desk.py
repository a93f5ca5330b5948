"""What a worker has on its desk: attempts that wait, that are worked on, and that wait for their verdict."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from nervio_worker.jobs import Answer, AttemptKey, Job, TaskFailed
from nervio_worker.messages import message_class
from nervio_worker.results import Results

log = logging.getLogger(__name__)

DONE, FAILED, HANDED_BACK = 1, 2, 3
REMEMBERED = 10_000
"""Attempts that have ended, so that a message that comes twice is not worked on twice."""

Report = message_class("Report")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task and the function that does it: of one job, or of a list of them where `batch` is more than one."""

    name: str
    do: Callable[[Any], Any]
    batch: int = 1


class Desk:
    """Works on `slots` attempts (or batches of them) at once. `changed` is called when it becomes idle, busy, or empty."""

    def __init__(
        self, kinds: Mapping[str, Kind], slots: int, credit: int, results: Results, changed: Callable[[], None]
    ) -> None:
        self._kinds, self._slots, self._credit = kinds, slots, credit
        self._results, self._changed = results, changed
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="nervio-kind")
        self._held: dict[AttemptKey, Job] = {}
        self._waiting: deque[Job] = deque()
        self._working: dict[AttemptKey, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: OrderedDict[AttemptKey, None] = OrderedDict()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def holding(self) -> list[AttemptKey]:
        """Everything that was received and has no verdict."""
        return list(self._held)

    @property
    def unfinished(self) -> int:
        """Attempts that are worked on or wait for it."""
        return len(self._waiting) + len(self._working)

    def take(self, task: Mapping[str, Any]) -> None:
        """An attempt has come. Raises KeyError, TypeError or ValueError where it keeps no contract."""
        key = str(task["tenant_id"]), str(task["task_id"]), int(task["token"])
        if key in self._held or key in self._ended:
            return  # the same message twice: it is done once
        job = Job(
            *key,
            kind=str(task["kind"]),
            model=str(task.get("model") or ""),
            payload=task["payload"],
            attempt=int(task.get("attempt") or 1),
            size=int(task.get("size") or 0),
            deadline_at=task.get("deadline_at"),
            say=self._results.show,
        )
        is_too_many = len(self._held) - len(self._results) >= self._credit
        self._held[key] = job
        if is_too_many or self.is_draining:
            self._report(job, HANDED_BACK)
        elif job.kind not in self._kinds:
            self._report(job, FAILED, error=f"This worker does not do {job.kind!r}; it does {', '.join(self._kinds)}.")
        else:
            self._waiting.append(job)
            self._start_some()

    def cancel(self, key: AttemptKey) -> None:
        """Nobody wants that attempt any more: nothing is reported of it."""
        job = self._held.pop(key, None)
        if job is None:
            return
        self._remember(key)
        self._results.forget(key)
        job.cancel()
        if job in self._waiting:
            self._waiting.remove(job)
        working = self._working.get(key)
        if working is not None and self._kinds[job.kind].batch == 1:
            working.cancel()
        self._changed()

    def settle(self, key: AttemptKey) -> None:
        """The master has said what became of it."""
        if self._held.pop(key, None) is not None:
            self._remember(key)
        if not self._held:
            self._changed()

    def hand_back_waiting(self) -> None:
        """Gives back what was not begun."""
        while self._waiting:
            self._report(self._waiting.popleft(), HANDED_BACK)

    def hand_back_rest(self) -> None:
        """Gives back what is still being worked on, and stops it as far as it can be stopped."""
        for key, working in list(self._working.items()):
            job = self._held.get(key)
            working.cancel()
            if job is not None:
                job.cancel()
                self._report(job, HANDED_BACK)
        self._working.clear()

    async def close(self) -> None:
        """Waits for async functions that were cancelled; what blocks in a thread is not waited for."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _remember(self, key: AttemptKey) -> None:
        self._ended[key] = None
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    # -- working ---------------------------------------------------------------------------------------------------------

    def _start_some(self) -> None:
        while self._waiting and len(self._tasks) < self._slots:
            jobs = [self._waiting.popleft()]
            kind = self._kinds[jobs[0].kind]
            for job in list(self._waiting) if kind.batch > 1 else ():
                if len(jobs) < kind.batch and (job.kind, job.model) == (jobs[0].kind, jobs[0].model):
                    self._waiting.remove(job)
                    jobs.append(job)
            task = asyncio.create_task(self._work(kind, jobs), name=f"nervio-{kind.name}")
            self._tasks.add(task)
            for job in jobs:
                self._working[job.key] = task
            task.add_done_callback(self._freed)
        self._changed()

    def _freed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("a task could not be reported", exc_info=bug)
        for key in [key for key, working in self._working.items() if working is task]:
            del self._working[key]
        self._start_some()

    async def _work(self, kind: Kind, jobs: Sequence[Job]) -> None:
        began = time.monotonic()
        try:
            given = jobs[0] if kind.batch == 1 else list(jobs)
            if inspect.iscoroutinefunction(kind.do):
                came = await kind.do(given)
            else:
                came = await asyncio.get_running_loop().run_in_executor(self._threads, kind.do, given)
            answers = [came] if kind.batch == 1 else list(came)
            if len(answers) != len(jobs):
                raise ValueError(f"{kind.name}: {len(jobs)} jobs were given and {len(answers)} answers came back")
        except Exception as error:
            if not isinstance(error, TaskFailed):
                log.exception("a task of kind %s crashed", kind.name)
            answers = [error] * len(jobs)
        seconds = (time.monotonic() - began) / len(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            self._working.pop(job.key, None)
            if not job.is_cancelled:
                self._answer(job, answer, seconds)

    def _answer(self, job: Job, answer: Any, seconds: float) -> None:
        if isinstance(answer, TaskFailed):
            self._report(
                job,
                FAILED,
                error=str(answer) or "failed",
                hopeless=not answer.may_help,
                retry_after_seconds=answer.retry_after_seconds or 0.0,
                seconds=seconds,
            )
            return
        if isinstance(answer, Exception):
            self._report(job, FAILED, error=f"{type(answer).__name__}: {answer}", seconds=seconds)
            return
        whole = answer if isinstance(answer, Answer) else Answer(answer)
        try:
            result = json.dumps(whole.result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            usage = "" if whole.usage is None else json.dumps(dict(whole.usage), allow_nan=False)
            self._report(job, DONE, result=result, usage=usage, seconds=seconds)
        except (TypeError, ValueError, RecursionError) as error:
            self._report(job, FAILED, error=f"The result is nothing that JSON can say: {error}", hopeless=True)

    def _report(self, job: Job, ending: int, **more: Any) -> None:
        tenant_id, task_id, token = job.key
        self._results.report(Report(tenant_id=tenant_id, task_id=task_id, token=token, ending=ending, **more))
