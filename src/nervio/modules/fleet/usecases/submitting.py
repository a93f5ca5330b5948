"""The commands of those who want something done: submit, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nervio.db.batch import Batch, Command, Effect, Lane, Operation
from nervio.db.context import Ctx
from nervio.db.execution import Outcome
from nervio.db.queue import QueueBook, WorkKey
from nervio.db.queue_moves import State, Work
from nervio.kernel.errors import not_found
from nervio.kernel.ids import new_ids
from nervio.kernel.time import Instant
from nervio.modules.fleet.book import LimitsBook, UsageBook
from nervio.modules.fleet.contracts import AttemptEnding, SubmitTask, TaskQueued, TaskState
from nervio.modules.fleet.domain.answers import digest_of
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.usecases.answering import AnswerBook, join_answer, lose_answer
from nervio.modules.fleet.usecases.openings import Opening, Openings
from nervio.ports.workers import Assignment


@dataclass(frozen=True, slots=True)
class TaskNamed:
    """A task by its id."""

    id: str


@dataclass(frozen=True, slots=True)
class TaskMoved:
    """What a task is after a command."""

    id: str
    state: TaskState


@dataclass(slots=True, eq=False)
class Offer:
    """What whoever queues a task holds ready for it: its id, by which it is known when the same command is sent again, and the
    place of somebody who is free to do it."""

    id: str
    opening: Opening | None = None
    digest: str | None = None
    """What it has in common with tasks that ask for the same; None where it wants an answer of its own."""


def _resolve_submit(batch: Batch, commands: Sequence[Command[SubmitTask, TaskQueued]]) -> None:
    usage, limits, keyless = batch.book(UsageBook), batch.book(LimitsBook), []
    for command in commands:
        usage.want(batch, command.tenant_id, command.body.kind)
        limits.ask(command.tenant_id)
        if command.offer.digest is not None:
            batch.book(AnswerBook).want(batch, (command.tenant_id, command.offer.digest), command.body.kind)
        if command.key is None and command.receipt is None:
            keyless.append((command.tenant_id, command.offer.id))
    batch.book(QueueBook).want(keyless)


def _submit(batch: Batch, command: Command[SubmitTask, TaskQueued]) -> TaskQueued:
    task, now, book, limits = command.body, batch.now, batch.book(QueueBook), batch.book(LimitsBook)
    offer: Offer = command.offer
    before = book.find((command.tenant_id, offer.id))
    if before is not None:
        # The batch had been committed, and the word of it was lost.
        return TaskQueued(before.id, TaskState(before.state), before.created_at)
    limits.admit(batch, command.tenant_id)
    if offer.opening is not None:
        offer.opening.assignment = None  # an earlier try may have claimed it, and have been undone
    work = Work(
        tenant_id=command.tenant_id,
        id=offer.id,
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
        digest=offer.digest,
    )
    book.add(work)
    batch.book(UsageBook).add(batch, command.tenant_id, task.kind, submitted=1)
    command.leaves_work = join_answer(batch, work, now)
    if command.leaves_work and offer.opening is not None and limits.begin_one(batch, command.tenant_id):
        command.leaves_work = False
        offer.opening.assignment = claim(work, offer.opening.owner, offer.opening.member.profile.id, now)
    return TaskQueued(work.id, TaskState(work.state), now)


def claim(work: Work, owner: str, worker_id: str, now: Instant) -> Assignment:
    """Claims a task for a worker of an owner."""
    token = work.claim(owner, worker_id, now)
    return Assignment(
        work.tenant_id, work.id, token, work.kind, work.model, work.payload, work.attempts, work.size, work.deadline_at
    )


def _resolve_named(batch: Batch, commands: Sequence[Command[TaskNamed, TaskMoved]]) -> None:
    want_tasks(batch, [(command.tenant_id, command.body.id) for command in commands])


def _resolve_retry(batch: Batch, commands: Sequence[Command[TaskNamed, TaskMoved]]) -> None:
    _resolve_named(batch, commands)
    for command in commands:
        batch.book(LimitsBook).ask(command.tenant_id)


def want_tasks(batch: Batch, keys: Sequence[WorkKey]) -> None:
    """Declares tasks by (tenant, id), and today's sums of their kinds."""
    batch.book(QueueBook).want(keys)
    batch.book(UsageBook).want_of(keys)
    batch.book(AnswerBook).want_of(batch, keys)


def find_task(batch: Batch, key: WorkKey) -> Work | None:
    """A task that was wanted, to be moved; None where there is none, be it that its id is other work's."""
    return batch.book(QueueBook).find_in(QUEUE, key)


def _find(batch: Batch, command: Command[TaskNamed, TaskMoved]) -> Work:
    work = find_task(batch, (command.tenant_id, command.body.id))
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
    lose_answer(batch, work)
    batch.book(UsageBook).add(batch, work.tenant_id, work.kind, cancelled=1)
    return TaskMoved(work.id, TaskState.CANCELLED)


def _retry(batch: Batch, command: Command[TaskNamed, TaskMoved]) -> TaskMoved:
    work = _find(batch, command)
    batch.book(LimitsBook).admit(batch, command.tenant_id)
    work.reopen(batch.now)
    command.leaves_work = join_answer(batch, work, batch.now)
    return TaskMoved(work.id, TaskState(work.state))


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
    "fleet.retry", Effect.INCREASE, TaskNamed, TaskMoved, _retry, _resolve_retry, enqueues=QUEUE
)


async def queue_tasks(
    ctx: Ctx, tasks: Sequence[tuple[SubmitTask, str | None]], openings: Openings
) -> Sequence[Outcome]:
    """Queues tasks that have been checked (task, idempotency key); a verdict for each, in order."""
    # In the fleet's lane: a flood of tasks is not to stand in the way of a till.
    ctx = replace(ctx, lane=Lane.FLEET)
    places, found = openings.find(ctx.tenant_id, [task for task, _ in tasks])
    outcomes: Sequence[Outcome] = ()
    try:
        digests = [digest_of(task) for task, _ in tasks]
        offers = [Offer(*offer) for offer in zip(new_ids(len(tasks)), found, digests, strict=True)]
        outcomes = await ctx.submit_all(
            [_command(ctx, task, key, offer) for (task, key), offer in zip(tasks, offers, strict=True)]
        )
    finally:
        if places is not None:
            places.settle(found, outcomes)
    return outcomes


def _command(ctx: Ctx, task: SubmitTask, key: str | None, offer: Offer) -> Command[SubmitTask, TaskQueued]:
    if key is None and ctx.receipt is None and ctx.step is None:
        # Known by its id when it is sent again, so that no answer has to be remembered for it.
        return Command(
            SUBMIT, ctx.tenant_id, ctx.actor_id, None, task, lane=ctx.lane, offer=offer, may_be_repeated=True
        )
    command = ctx.command(SUBMIT, task, key)
    command.offer = offer
    return command
