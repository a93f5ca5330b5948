"""The commands of those who want something done: submit, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.queue import QueueBook
from nervio.db.queue_moves import State, Work
from nervio.kernel.errors import not_found
from nervio.kernel.time import Instant
from nervio.modules.fleet.book import UsageBook
from nervio.modules.fleet.contracts import AttemptEnding, SubmitTask, TaskQueued, TaskState
from nervio.modules.fleet.store.tasks import QUEUE, read_kinds


@dataclass(frozen=True, slots=True)
class TaskNamed:
    """A task by its id."""

    id: str


@dataclass(frozen=True, slots=True)
class TaskMoved:
    """What a task is after a command."""

    id: str
    state: TaskState


def _resolve_submit(batch: Batch, commands: Sequence[Command[SubmitTask, TaskQueued]]) -> None:
    book = batch.book(UsageBook)
    for command in commands:
        book.want(batch, command.tenant_id, command.body.kind)


def _submit(batch: Batch, command: Command[SubmitTask, TaskQueued]) -> TaskQueued:
    task, now = command.body, batch.now
    work = Work(
        tenant_id=command.tenant_id,
        id=batch.new_id(),
        queue=QUEUE,
        kind=task.kind,
        model=task.model,
        priority=task.priority,
        state=State.WAITING,
        run_at=now,
        deadline_at=task.deadline_at,
        attempts=0,
        most_attempts=1 + task.retries,
        token=0,
        owner=None,
        worker=None,
        size=task.size,
        payload=task.payload,
        checkpoint=None,
        result=None,
        usage=None,
        error=None,
        created_by=command.actor_id,
        created_at=now,
        started_at=None,
        ended_at=None,
    )
    batch.book(QueueBook).add(work)
    batch.book(UsageBook).add(batch, command.tenant_id, task.kind, submitted=1)
    return TaskQueued(work.id, TaskState.WAITING, now)


def _resolve_named(batch: Batch, commands: Sequence[Command[TaskNamed, TaskMoved]]) -> None:
    want_tasks(batch, [(command.tenant_id, command.body.id) for command in commands])


def want_tasks(batch: Batch, keys: Sequence[tuple[str, str]]) -> None:
    """Declares tasks by (tenant, id), and today's sums of their kinds."""
    kinds = read_kinds(batch.connection, batch.dialect, keys)
    batch.book(QueueBook).want(kinds)
    for tenant_id, kind in {(key[0], kind) for key, kind in kinds.items()}:
        batch.book(UsageBook).want(batch, tenant_id, kind)


def _find(batch: Batch, command: Command[TaskNamed, TaskMoved]) -> Work:
    work = batch.book(QueueBook).find((command.tenant_id, command.body.id))
    if work is None:
        raise not_found("task", command.body.id)
    return work


def _cancel(batch: Batch, command: Command[TaskNamed, TaskMoved]) -> TaskMoved:
    work = _find(batch, command)
    if work.state is State.CANCELLED:
        return TaskMoved(work.id, TaskState.CANCELLED)
    if work.state is State.RUNNING:
        note_attempt(batch, work, AttemptEnding.CANCELLED, None)
    work.cancel(batch.now)
    batch.book(UsageBook).add(batch, work.tenant_id, work.kind, cancelled=1)
    return TaskMoved(work.id, TaskState.CANCELLED)


def _retry(batch: Batch, command: Command[TaskNamed, TaskMoved]) -> TaskMoved:
    work = _find(batch, command)
    work.reopen(batch.now)
    return TaskMoved(work.id, TaskState.WAITING)


def note_attempt(batch: Batch, work: Work, ending: AttemptEnding, error: str | None) -> None:
    """Adds the attempt that is under way to the history, before the move that ends it."""
    started: Instant = batch.now if work.started_at is None else work.started_at
    batch.book(UsageBook).add_attempt(
        (
            work.tenant_id,
            work.id,
            work.token,
            work.attempts,
            work.worker or "",
            work.kind,
            ending.value,
            error,
            work.created_at,
            started,
            batch.now,
        )
    )


SUBMIT: Operation[SubmitTask, TaskQueued] = Operation(
    "fleet.submit", Effect.INCREASE, SubmitTask, TaskQueued, _submit, _resolve_submit, enqueues=QUEUE
)
CANCEL: Operation[TaskNamed, TaskMoved] = Operation(
    "fleet.cancel", Effect.REDUCE, TaskNamed, TaskMoved, _cancel, _resolve_named, enqueues=QUEUE
)
"""Rings the dispatcher's bell too: the worker that has the task is told to stop."""
RETRY: Operation[TaskNamed, TaskMoved] = Operation(
    "fleet.retry", Effect.INCREASE, TaskNamed, TaskMoved, _retry, _resolve_named, enqueues=QUEUE
)
