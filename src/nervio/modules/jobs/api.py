"""What others ask of background jobs. The runner is started by the program itself.

A module asks for a job in the transaction of its own command with `enqueue_in`, or by itself with `enqueue_job`; both take the name
of a job that some module declares in its manifest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from nervio.db.batch import Batch, Command, Lane
from nervio.db.context import Ctx
from nervio.db.pruning import Aged
from nervio.db.steps import START, Checkpoint, read_checkpoint
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import NervioError, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.jobs import store
from nervio.modules.jobs.contracts import (
    QUEUE,
    EnqueueJob,
    JobMoved,
    JobPriority,
    JobQueued,
    JobRecord,
    JobState,
    JobWait,
)
from nervio.modules.jobs.domain import why_waiting
from nervio.modules.jobs.usecases.enqueueing import CANCEL, ENQUEUE, RETRY, JobNamed, add_job, checked
from nervio.modules.jobs.usecases.running import JobRunner

READ = "jobs.read"
MOVE = "jobs.move"
LONGEST_PAGE = 500


async def enqueue_jobs(ctx: Ctx, jobs: Sequence[tuple[EnqueueJob, str | None]]) -> list[JobQueued | BaseException]:
    """Queues many jobs (job, idempotency key) in few commits, each with its own verdict, in order. Needs no permission of its own:
    whether somebody may have something done is for the use case to say that asks for it."""
    now, ctx = ctx.clock.now(), replace(ctx, lane=Lane.JOBS)
    commands: list[Command[Any, Any] | NervioError] = []
    for job, key in jobs:
        try:
            commands.append(ctx.command(ENQUEUE, checked(job, now), key))
        except NervioError as refusal:
            commands.append(refusal)
    outcomes = iter(await ctx.submit_all([one for one in commands if isinstance(one, Command)]))
    return [one if isinstance(one, NervioError) else next(outcomes) for one in commands]  # type: ignore[misc]


async def enqueue_job(ctx: Ctx, job: EnqueueJob, key: str | None = None) -> JobQueued:
    """Queues one job; it survives everything. Raises `invalid`, `halted`, `too_many`."""
    (outcome,) = await enqueue_jobs(ctx, [(job, key)])
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def enqueue_in(batch: Batch, command: Command[Any, Any], job: EnqueueJob) -> str:
    """Queues a job as part of a command that is being decided, for its tenant and its actor; the job's id. The command's operation
    says `enqueues=QUEUE`. Raises `invalid`."""
    assert command.operation.enqueues == QUEUE, f"{command.operation.name} does not say that it enqueues jobs"
    return add_job(batch, command.tenant_id, command.actor_id, checked(job, batch.now)).id


async def cancel_job(ctx: Ctx, job_id: str, key: str | None = None) -> JobMoved:
    """Ends a job that nobody wants any more; one that runs stops where it is. Passes a stop of the level `reduce_only`. Raises
    `not_found`, `conflict` (`work_state`) where it has ended."""
    ctx.require(MOVE)
    return await ctx.submit(CANCEL, JobNamed(_named(job_id)), key)


async def retry_job(ctx: Ctx, job_id: str, key: str | None = None) -> JobMoved:
    """Queues a job again that failed or was cancelled, with all its attempts; it goes on from its last checkpoint. Raises
    `not_found`, `conflict` (`work_state`)."""
    ctx.require(MOVE)
    return await ctx.submit(RETRY, JobNamed(_named(job_id)), key)


async def list_jobs(
    ctx: Ctx,
    *,
    state: JobState | None = None,
    name: str | None = None,
    before: tuple[Instant, str] | None = None,
    limit: int = 50,
    backwards: bool = False,
) -> list[JobRecord]:
    """Jobs, the newest first, without payloads and results; `before` is (created_at, id) of the last one seen. With `backwards` the page before that one."""
    ctx.require(READ)
    most, wanted = min(limit, LONGEST_PAGE + 1), None if state is None else state.value

    def query(connection: TenantConnection) -> Sequence[Any]:
        return store.list_jobs(connection, state=wanted, name=name, before=before, limit=most, backwards=backwards)

    return [_record(row) for row in await ctx.read(query)]


async def get_job(ctx: Ctx, job_id: str) -> JobRecord:
    """A job. Raises `not_found`."""
    ctx.require(READ)
    wanted = _named(job_id)
    row = await ctx.read(lambda c: store.find_job(c, wanted))
    if row is None:
        raise not_found("job", job_id)
    return _record(row)


def explain_waiting(ctx: Ctx, job: JobRecord, known: Collection[str], *, stopped: bool) -> JobWait | None:
    """Why a job is not being done now; None of one that does not wait. `known`: the jobs that modules declare; `stopped`: a stop
    forbids beginning it."""
    return why_waiting(job, known, ctx.clock.now(), stopped=stopped)


def list_aged(jobs_days: int) -> tuple[Aged, ...]:
    """What of the jobs is over, to be pruned by its age."""
    return (store.aged_jobs(jobs_days),)


def _named(job_id: str) -> str:
    if not is_id(job_id):
        raise not_found("job", job_id)
    return job_id


def _record(row: Any) -> JobRecord:
    reached = _reached(row.checkpoint)
    return JobRecord(
        id=row.id,
        name=row.kind,
        state=JobState(row.state),
        priority=JobPriority(row.priority),
        payload=_value(row.payload),
        result=_value(row.result),
        error=row.error,
        checkpoint=reached.value,
        done=reached.done,
        total=reached.total,
        attempts=row.attempts,
        most_attempts=row.most_attempts,
        created_by=row.created_by,
        created_at=row.created_at,
        run_at=row.run_at,
        deadline_at=row.deadline_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def _value(text: str | None) -> Any:
    """What a column of JSON says; what is none, and only a hand in the database can have put there, as it stands."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _reached(text: str | None) -> Checkpoint:
    try:
        return read_checkpoint(text)
    except msgspec.MsgspecError:
        return START


__all__ = [
    "MOVE",
    "READ",
    "JobRunner",
    "cancel_job",
    "enqueue_in",
    "enqueue_job",
    "enqueue_jobs",
    "explain_waiting",
    "get_job",
    "list_aged",
    "list_jobs",
    "retry_job",
]
