"""The commands of whoever works jobs off: claim them, write down how far one has come and how it ended, bring back what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.queue import QueueBook
from nervio.db.queue_moves import State
from nervio.db.steps import read_checkpoint
from nervio.kernel.time import SECOND, Instant
from nervio.modules.jobs.contracts import LOST, OVERDUE, QUEUE
from nervio.modules.jobs.usecases.enqueueing import JobNamed


@dataclass(frozen=True, slots=True)
class ClaimJobs:
    """Jobs of one tenant to be claimed for an owner."""

    owner: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job to be worked on, under a token."""

    tenant_id: str
    id: str
    name: str
    token: int
    attempt: int
    payload: str
    checkpoint: str | None
    actor_id: str
    deadline_at: Instant | None


@dataclass(frozen=True, slots=True)
class JobsClaimed:
    """What was claimed; what somebody else has by now, or nobody wants any more, is left out."""

    jobs: tuple[ClaimedJob, ...]


class Ending(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    """May be tried again."""
    GIVEN_UP = "given_up"
    """Trying again would not help."""
    PARKED = "parked"
    """Stopped, or handed back at shutdown; counts no attempt."""


@dataclass(frozen=True, slots=True)
class EndJob:
    """The end of an attempt. `text` is the result as JSON, or the error; `pause_seconds`: how long one that was parked rests."""

    id: str
    token: int
    ending: Ending
    text: str = ""
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class JobEnded:
    """Where the job stands then."""

    state: str


@dataclass(frozen=True, slots=True)
class RecoverJobs:
    """`orphans`: (job, token) whose owner is gone; `overdue`: jobs whose deadline is over."""

    orphans: tuple[tuple[str, int], ...]
    overdue: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobsRecovered:
    """How many were moved."""

    count: int


def _resolve_claim(batch: Batch, commands: Sequence[Command[ClaimJobs, JobsClaimed]]) -> None:
    for command in commands:
        batch.book(QueueBook).want((command.tenant_id, job_id) for job_id in command.body.ids)


def _claim(batch: Batch, command: Command[ClaimJobs, JobsClaimed]) -> JobsClaimed:
    book, claimed = batch.book(QueueBook), []
    for job_id in command.body.ids:
        work = book.find_in(QUEUE, (command.tenant_id, job_id))
        if work is None or not work.is_due(batch.now):
            continue
        token = work.claim(command.body.owner, None, batch.now)
        claimed.append(
            ClaimedJob(
                work.tenant_id,
                work.id,
                work.kind,
                token,
                work.attempts,
                work.payload,
                work.checkpoint,
                work.created_by,
                work.deadline_at,
            )
        )
    return JobsClaimed(tuple(claimed))


def _resolve_end(batch: Batch, commands: Sequence[Command[EndJob, JobEnded]]) -> None:
    batch.book(QueueBook).want((command.tenant_id, command.body.id) for command in commands)


def _end(batch: Batch, command: Command[EndJob, JobEnded]) -> JobEnded:
    ended, command.leaves_work = command.body, False
    work = batch.book(QueueBook).find_in(QUEUE, (command.tenant_id, ended.id))
    if work is None:
        return JobEnded("")
    if ended.ending is Ending.DONE:
        work.finish(ended.token, ended.text, None, batch.now)
    elif ended.ending is Ending.PARKED:
        work.park(ended.token, batch.now + int(ended.pause_seconds * SECOND))
    else:
        work.fail(ended.token, ended.text, batch.now, again=ended.ending is Ending.FAILED)
    command.leaves_work = work.state is State.WAITING
    return JobEnded(work.state.value)


def _resolve_recover(batch: Batch, commands: Sequence[Command[RecoverJobs, JobsRecovered]]) -> None:
    for command in commands:
        ids = [*(orphan[0] for orphan in command.body.orphans), *command.body.overdue]
        batch.book(QueueBook).want((command.tenant_id, job_id) for job_id in ids)


def _recover(batch: Batch, command: Command[RecoverJobs, JobsRecovered]) -> JobsRecovered:
    book, count = batch.book(QueueBook), 0
    for job_id in command.body.overdue:
        work = book.find_in(QUEUE, (command.tenant_id, job_id))
        if work is None or not work.is_overdue(batch.now):
            continue
        work.give_up(OVERDUE, batch.now)
        count += 1
    for job_id, token in command.body.orphans:
        work = book.find_in(QUEUE, (command.tenant_id, job_id))
        if work is None or work.state is not State.RUNNING or work.token != token:
            continue
        if _has_progressed(work.checkpoint, token):
            work.park(token, batch.now)
        else:
            work.fail(token, LOST, batch.now, again=True, after_seconds=0.0)
        count += 1
    return JobsRecovered(count)


def _has_progressed(checkpoint: str | None, token: int) -> bool:
    """Whether the claim of that token has got anywhere. If so it is hardly the job that ends its process again and again, and the
    attempt is not counted: a long one would else be given up after a few restarts."""
    try:
        return read_checkpoint(checkpoint).token == token
    except msgspec.MsgspecError:
        return False


CLAIM: Operation[ClaimJobs, JobsClaimed] = Operation(
    "jobs.claim", Effect.INCREASE, ClaimJobs, JobsClaimed, _claim, _resolve_claim
)
"""Refused while a stop covers the tenant: its jobs wait, and no attempt is counted."""
CHECKPOINT: Operation[JobNamed, None] = Operation(
    "jobs.checkpoint", Effect.CONTROL, JobNamed, type(None), lambda _batch, _command: None
)
"""Has no effect but that of the step that its command carries."""
END: Operation[EndJob, JobEnded] = Operation(
    "jobs.record", Effect.CONTROL, EndJob, JobEnded, _end, _resolve_end, enqueues=QUEUE
)
RECOVER: Operation[RecoverJobs, JobsRecovered] = Operation(
    "jobs.recover", Effect.CONTROL, RecoverJobs, JobsRecovered, _recover, _resolve_recover, enqueues=QUEUE
)
