"""Works jobs off: claims as many as there is room for, runs their handlers, and finds what others left lying when they died.

It keeps nothing that could be lost: who has which job is in the database, under a token that grows with every claim, and so is
how far each has come. Any number of processes on one database share the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nervio.db import leases, queue
from nervio.db.batch import Command, Lane
from nervio.db.context import Ctx
from nervio.db.jobs import Job, JobCtx, encode_json
from nervio.db.steps import Step, read_checkpoint
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from nervio.modules.jobs import metrics, store
from nervio.modules.jobs.usecases.claiming import (
    CHECKPOINT,
    CLAIM,
    END,
    RECOVER,
    ClaimedJob,
    ClaimJobs,
    Ending,
    EndJob,
    JobsClaimed,
    JobsRecovered,
    RecoverJobs,
)
from nervio.modules.jobs.usecases.enqueueing import JobNamed
from nervio.modules.jobs.usecases.looking import FindBlocking, Lookout, find_stop

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""How often it is looked without having been woken: a notice may be lost, and a stop may be over."""
REST_SECONDS = 0.01
FRUITLESS_REST_SECONDS = 0.04
"""Between two looks, and after one that found nothing: the bell rings for every task of the fleet too."""
UNKNOWN_SECONDS = 30.0
"""How often it is told of jobs that no module knows."""
LONGEST_PAUSE_SECONDS = 5.0
"""After a round, or a write, that failed, and after one more and one more."""
STOPPED_SECONDS = 1.0
"""How long a job rests that a stop has parked."""
GRACE_SECONDS = 2.0
"""How long jobs may take to their next step at shutdown."""
LARGEST_RESULT = 262_144
"""Bytes."""

HOPELESS = frozenset({Kind.INVALID, Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.UNAUTHENTICATED})
"""Refusals that are the same at the next attempt."""


@dataclass(slots=True, eq=False)
class _Running:
    """A job under way here. `is_unwanted`: somebody cancelled it, or has it by now; `is_over`: its handler has ended."""

    claimed: ClaimedJob
    task: asyncio.Task[None] | None = None
    is_unwanted: bool = False
    is_over: bool = False


class JobRunner:
    """One a process with the role `jobs`. `run` it until `stopping` is set."""

    def __init__(
        self,
        ctx: Ctx,
        owner: str,
        jobs: Sequence[Job],
        find_blocking: FindBlocking,
        *,
        most_at_once: int,
        lease_seconds: float,
    ) -> None:
        self._ctx = replace(ctx, lane=Lane.JOBS)
        # Not the owner of other queues: each has a lease of its own length.
        self._owner, self._lease_seconds = f"jobs:{owner}", lease_seconds
        self._jobs = {job.name: job for job in jobs}
        self._find_blocking, self._most = find_blocking, most_at_once
        self._lookout = Lookout(self._owner, jobs, find_blocking)
        self._running: dict[queue.WorkKey, _Running] = {}
        self._bell = asyncio.Event()
        self._lease_until = self._unknown_at = -math.inf
        self._is_closing = self._found = False

    async def run(self, stopping: asyncio.Event, bell: asyncio.Event) -> None:
        """Works until `stopping` is set. `bell` rings when something was queued, and when there is something else to do."""
        self._bell, pause = bell, 0.0
        beating = asyncio.create_task(self._keep_lease(), name="nervio-jobs-lease")
        try:
            while not stopping.is_set():
                bell.clear()
                try:
                    wait = await self.run_once()
                    pause = 0.0
                except Exception as error:
                    known = isinstance(error, NervioError)
                    log.warning("jobs_round_failed", extra={"error": str(error)}, exc_info=not known)
                    wait = pause = min(max(0.25, 2 * pause), LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(REST_SECONDS if self._found else FRUITLESS_REST_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await (stopping if pause else bell).wait()
        finally:
            await self._close(beating)

    async def run_once(self) -> float:
        """One round: brings back what was lost, lets go of what is not wanted, claims what there is room for. How many seconds
        the next one can wait if nothing rings."""
        now, before = self._ctx.clock.now(), dict(self._running)
        room = 0 if self._is_closing else self._most - len(before)
        look = await self._ctx.database.read(lambda c: self._lookout.look(c, now, room))
        losses = look.losses
        strays = {key: token for key, token in losses.owned.items() if key not in before}
        self._found = bool(look.due or losses.orphans or losses.overdue or strays)
        if losses.orphans or losses.overdue or strays:
            await self._recover(losses, strays)
        for key, running in before.items():
            if losses.owned.get(key) != running.claimed.token and not running.is_over and running.task is not None:
                running.is_unwanted = True
                running.task.cancel()
        if look.due:
            await self._claim(look.due)
        if self._ctx.clock.monotonic() >= self._unknown_at:
            self._unknown_at = self._ctx.clock.monotonic() + UNKNOWN_SECONDS
            await self._tell_of_unknown()
        if look.next_at is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.0, (look.next_at - now) / SECOND) + REST_SECONDS)

    # -- claiming --------------------------------------------------------------------------------------------------------

    async def _claim(self, due: Sequence[queue.Due]) -> None:
        if self._ctx.clock.monotonic() > self._lease_until - self._lease_seconds / 2:
            await self._renew_lease()
        waited = {(one.tenant_id, one.id): one.run_at for one in due}
        by_tenant: dict[str, list[str]] = {}
        for one in due:
            by_tenant.setdefault(one.tenant_id, []).append(one.id)
        commands = [
            # Without a key: a claim that is repeated finds the job claimed, and changes nothing.
            Command(
                CLAIM, tenant_id, self._ctx.actor_id, None, ClaimJobs(self._owner, tuple(ids)), lane=Lane.JOBS,
                weight=len(ids),
            )
            for tenant_id, ids in by_tenant.items()
        ]  # fmt: skip
        for outcome in await self._ctx.submit_all(commands):
            if isinstance(outcome, JobsClaimed):
                for claimed in outcome.jobs:
                    late = self._ctx.clock.now() - waited[claimed.tenant_id, claimed.id]
                    metrics.DISPATCH_SECONDS.observe(max(late, 0) / SECOND)
                    self._begin(claimed)
            elif not (isinstance(outcome, NervioError) and outcome.kind is Kind.HALTED):
                # Whatever was claimed all the same is found by the next round: nobody here has it.
                log.warning("job_claim_failed", extra={"error": str(outcome)})

    def _begin(self, claimed: ClaimedJob) -> None:
        key = claimed.tenant_id, claimed.id
        running = self._running[key] = _Running(claimed)
        running.task = asyncio.create_task(self._work(running), name=f"nervio-job-{claimed.name}")
        running.task.add_done_callback(lambda _task: self._forget(key, running))
        metrics.RUNNING.set(len(self._running))

    def _forget(self, key: queue.WorkKey, running: _Running) -> None:
        if self._running.get(key) is running:
            del self._running[key]
        metrics.RUNNING.set(len(self._running))
        self._bell.set()

    # -- working ---------------------------------------------------------------------------------------------------------

    async def _work(self, running: _Running) -> None:
        claimed, began = running.claimed, self._ctx.clock.monotonic()
        try:
            ended = await self._attempt(claimed)
        except asyncio.CancelledError:
            if running.is_unwanted:
                log.info("job_let_go", extra={"job": claimed.name, "job_id": claimed.id})
                return
            if self._is_closing:
                ended = EndJob(claimed.id, claimed.token, Ending.PARKED)
            elif running.task is not None and running.task.cancelling():
                raise  # the loop itself ends; whoever comes next finds the job by its lease
            else:
                ended = EndJob(claimed.id, claimed.token, Ending.FAILED, "Something that it waited for was cancelled.")
        running.is_over = True
        metrics.ATTEMPTS.labels(claimed.name, ended.ending.value).inc()
        metrics.WORK_SECONDS.labels(claimed.name).observe(self._ctx.clock.monotonic() - began)
        await self._write_down(claimed, ended)

    async def _attempt(self, claimed: ClaimedJob) -> EndJob:
        told = {"job": claimed.name, "job_id": claimed.id, "tenant_id": claimed.tenant_id, "attempt": claimed.attempt}
        try:
            payload, reached = json.loads(claimed.payload), read_checkpoint(claimed.checkpoint)
        except ValueError as error:
            log.exception("job_unreadable", extra=told)
            return EndJob(claimed.id, claimed.token, Ending.GIVEN_UP, f"What it was to do cannot be read: {error}")
        job = self._jobs[claimed.name]
        ctx = replace(self._ctx, tenant_id=claimed.tenant_id, actor_id=claimed.actor_id)

        def check() -> None:
            stop = find_stop(self._find_blocking, claimed.tenant_id, job)
            if stop is not None:
                raise stop.as_error()
            if self._is_closing:
                raise NervioError(Kind.HALTED, "job_parked", "This process shuts down; the job goes on elsewhere.")

        work = JobCtx(ctx, claimed.id, claimed.token, claimed.attempt, claimed.deadline_at, reached, _keep, check)
        try:
            check()
            result = await job.handler(work, payload)
            return EndJob(claimed.id, claimed.token, Ending.DONE, encode_json(result, "result", LARGEST_RESULT))
        except NervioError as error:
            if error.kind is Kind.HALTED:
                pause = 0.0 if self._is_closing else STOPPED_SECONDS
                return EndJob(claimed.id, claimed.token, Ending.PARKED, pause_seconds=pause)
            log.warning("job_failed", extra={**told, "error": error.message, "code": error.code})
            how = Ending.GIVEN_UP if error.kind in HOPELESS else Ending.FAILED
            return EndJob(claimed.id, claimed.token, how, error.message)
        except Exception as bug:
            log.exception("job_failed", extra=told)
            return EndJob(claimed.id, claimed.token, Ending.FAILED, f"{type(bug).__name__}: {bug}")

    async def _write_down(self, claimed: ClaimedJob, ended: EndJob) -> None:
        """Until the store has it, or somebody else has the job: what was done is not to be done again for want of a word."""
        command = Command(END, claimed.tenant_id, self._ctx.actor_id, None, ended, lane=Lane.JOBS)
        pause = 0.05
        while True:
            try:
                await self._ctx.database.submit(command)
                return
            except NervioError as error:
                if error.kind is Kind.CONFLICT:  # its token is old, or this very word had been taken down before
                    return
                log.warning("job_end_not_written", extra={"job_id": claimed.id, "error": error.message})
            except Exception:
                log.exception("job_end_not_written", extra={"job_id": claimed.id})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    # -- keeping, recovering, closing ------------------------------------------------------------------------------------

    async def _recover(self, losses: queue.Losses, strays: dict[queue.WorkKey, int]) -> None:
        orphans = {tenant_id: list(jobs) for tenant_id, jobs in losses.orphans.items()}
        for (tenant_id, job_id), token in strays.items():
            # Ours by the database and nobody's here: its claim was committed and the word of it lost.
            orphans.setdefault(tenant_id, []).append((job_id, token))
        # An orphan that runs here is ours: it was the lease that lapsed, and nobody has it since.
        mine = {(key, one.claimed.token) for key, one in self._running.items()}
        commands = []
        for tenant_id in sorted({*orphans, *losses.overdue}):
            gone = tuple(one for one in orphans.get(tenant_id, ()) if ((tenant_id, one[0]), one[1]) not in mine)
            body = RecoverJobs(gone, tuple(losses.overdue.get(tenant_id, ())))
            if body.orphans or body.overdue:
                commands.append(Command(RECOVER, tenant_id, self._ctx.actor_id, None, body, lane=Lane.JOBS))
        for outcome in await self._ctx.submit_all(commands) if commands else ():
            if isinstance(outcome, JobsRecovered):
                metrics.TAKEN_OVER.inc(outcome.count)
                self._bell.set()
            else:
                log.warning("job_recovery_failed", extra={"error": str(outcome)})

    async def _tell_of_unknown(self) -> None:
        unknown = await self._ctx.database.read(lambda c: store.count_unknown(c, self._jobs))
        metrics.UNKNOWN.set(unknown)
        if unknown:
            log.warning("jobs_unknown", extra={"count": unknown})

    async def _keep_lease(self) -> None:
        """Heartbeats while there is something to lose; an idle process writes nothing."""
        while True:
            await asyncio.sleep(self._lease_seconds / 4)
            if self._running:
                try:
                    await self._renew_lease()
                except Exception as error:  # noqa: BLE001 (it lapses then, and whoever takes over has the newer token)
                    log.warning("jobs_lease_not_renewed", extra={"error": str(error)})

    async def _renew_lease(self) -> None:
        asked_at = self._ctx.clock.monotonic()
        name, seconds = queue.OWNER_LEASE + self._owner, self._lease_seconds
        await self._ctx.database.bookkeep(
            "lease", lambda c: leases.acquire(c, name, self._owner, self._ctx.clock.now(), seconds)
        )
        self._lease_until = asked_at + seconds

    async def _close(self, beating: asyncio.Task[None]) -> None:
        """Parks what runs, at its next step where it comes to one soon, and lets go of the lease."""
        self._is_closing = True
        tasks = [running.task for running in self._running.values() if running.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=GRACE_SECONDS)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        if not self._running:
            await self._ctx.database.bookkeep(
                "lease", lambda c: leases.release(c, queue.OWNER_LEASE + self._owner, self._owner)
            )
        self._is_closing = False  # it may be begun again


async def _keep(ctx: Ctx, step: Step) -> None:
    command = Command(CHECKPOINT, ctx.tenant_id, ctx.actor_id, None, JobNamed(step.work[1]), lane=ctx.lane, step=step)
    await ctx.database.submit(command)
