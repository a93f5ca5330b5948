"""The commands of those who want a job done: enqueue, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.jobs import encode_json
from nervio.db.queue import QueueBook
from nervio.db.queue_moves import State, Work
from nervio.kernel.errors import not_found
from nervio.kernel.time import Instant
from nervio.modules.jobs.contracts import QUEUE, EnqueueJob, JobMoved, JobQueued, JobState
from nervio.modules.jobs.domain import check_job

LARGEST_PAYLOAD = 2_097_152
"""Bytes. What is larger is stored by its module, and the payload says where."""


@dataclass(frozen=True, slots=True)
class QueueJob:
    """A job that has been checked; `payload` is JSON text."""

    name: str
    payload: str
    priority: int
    retries: int
    deadline_at: Instant | None


@dataclass(frozen=True, slots=True)
class JobNamed:
    """A job by its id."""

    id: str


def checked(job: EnqueueJob, now: Instant) -> QueueJob:
    """A job as it is written down. Raises `invalid`."""
    check_job(job, now)
    payload = encode_json(job.payload, "payload", LARGEST_PAYLOAD)
    return QueueJob(job.name, payload, int(job.priority), job.retries, job.deadline_at)


def add_job(batch: Batch, tenant_id: str, actor_id: str, job: QueueJob) -> Work:
    """Queues a job in a batch."""
    work = Work(
        tenant_id=tenant_id,
        id=batch.new_id(),
        queue=QUEUE,
        kind=job.name,
        model="",
        priority=job.priority,
        state=State.WAITING,
        run_at=batch.now,
        deadline_at=job.deadline_at,
        attempts=0,
        most_attempts=1 + job.retries,
        token=0,
        owner=None,
        worker=None,
        size=0,
        payload=job.payload,
        checkpoint=None,
        result=None,
        usage=None,
        error=None,
        created_by=actor_id,
        created_at=batch.now,
        started_at=None,
        ended_at=None,
    )
    batch.book(QueueBook).add(work)
    return work


def _enqueue(batch: Batch, command: Command[QueueJob, JobQueued]) -> JobQueued:
    work = add_job(batch, command.tenant_id, command.actor_id, command.body)
    return JobQueued(work.id, work.created_at)


def _resolve_named(batch: Batch, commands: Sequence[Command[JobNamed, JobMoved]]) -> None:
    batch.book(QueueBook).want((command.tenant_id, command.body.id) for command in commands)


def _find(batch: Batch, command: Command[JobNamed, JobMoved]) -> Work:
    work = batch.book(QueueBook).find_in(QUEUE, (command.tenant_id, command.body.id))
    if work is None:
        raise not_found("job", command.body.id)
    return work


def _cancel(batch: Batch, command: Command[JobNamed, JobMoved]) -> JobMoved:
    work = _find(batch, command)
    if work.state is not State.CANCELLED:
        work.cancel(batch.now)
    return JobMoved(work.id, JobState(work.state))


def _retry(batch: Batch, command: Command[JobNamed, JobMoved]) -> JobMoved:
    work = _find(batch, command)
    work.reopen(batch.now)
    return JobMoved(work.id, JobState(work.state))


ENQUEUE: Operation[QueueJob, JobQueued] = Operation(
    "jobs.enqueue", Effect.INCREASE, QueueJob, JobQueued, _enqueue, enqueues=QUEUE
)
CANCEL: Operation[JobNamed, JobMoved] = Operation(
    "jobs.cancel", Effect.REDUCE, JobNamed, JobMoved, _cancel, _resolve_named, enqueues=QUEUE
)
"""Rings the bell of those who work jobs off too: whoever has it stops."""
RETRY: Operation[JobNamed, JobMoved] = Operation(
    "jobs.retry", Effect.INCREASE, JobNamed, JobMoved, _retry, _resolve_named, enqueues=QUEUE
)
