"""The commands of whoever hands out work: claim it, record how attempts ended, bring back what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.queue import QueueBook
from nervio.db.queue_moves import LONGEST_ERROR, State
from nervio.kernel.time import LATEST
from nervio.modules.fleet.book import LimitsBook, UsageBook
from nervio.modules.fleet.contracts import AttemptEnding
from nervio.modules.fleet.domain.use import NOTHING, Use
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.usecases.answering import AnswerBook, bring_answer, join_answer, lose_answer
from nervio.modules.fleet.usecases.metering import meter, want_meter
from nervio.modules.fleet.usecases.submitting import claim, find_task, note_attempt, want_tasks
from nervio.ports.workers import Assignment, Mishap, Verdict


@dataclass(frozen=True, slots=True)
class ClaimTasks:
    """Tasks to be claimed for an owner: (task id, worker id). `is_limited`: the tenant has limits that may forbid some."""

    owner: str
    tasks: tuple[tuple[str, str], ...]
    is_limited: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was claimed, with the worker for each; what somebody else has by now, or nobody wants any more, is left out."""

    assignments: tuple[tuple[Assignment, str], ...]


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """How an attempt ended. `again` says whether trying again may help."""

    task_id: str
    token: int
    worker: str
    ending: AttemptEnding
    result: str | None = None
    usage: str | None = None
    error: str | None = None
    again: bool = True
    after_seconds: float | None = None
    worked_ms: int = 0
    used: Use = NOTHING
    """What its worker says that it used, as far as that makes sense."""


@dataclass(frozen=True, slots=True)
class RecordAttempts:
    """Attempts of one tenant that have ended. Answers are kept for `keep_seconds`."""

    attempts: tuple[EndedAttempt, ...]
    keep_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AttemptsRecorded:
    """What became of each, in order. `for_others`: an answer came, or will not come, for which other tasks wait."""

    verdicts: tuple[Verdict, ...]
    for_others: bool = False


@dataclass(frozen=True, slots=True)
class Recover:
    """`orphans`: (task id, token) of work whose owner is gone; `overdue`: tasks whose deadline is over; `followers`: tasks that
    wait for the answer to another, with that one where it has ended without any."""

    orphans: tuple[tuple[str, int], ...]
    overdue: tuple[str, ...]
    followers: tuple[tuple[str, str | None], ...] = ()
    strays: tuple[tuple[str, int], ...] = ()
    """(task id, token) of work that was claimed and handed to nobody."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many of them were moved; which tasks got the answer to another."""

    orphans: int
    overdue: int
    answered: tuple[str, ...] = ()


def _resolve_claim(batch: Batch, commands: Sequence[Command[ClaimTasks, Claimed]]) -> None:
    book = batch.book(QueueBook)
    for command in commands:
        book.want((command.tenant_id, task_id) for task_id, _ in command.body.tasks)
        if command.body.is_limited:
            batch.book(LimitsBook).want(command.tenant_id)


def _claim(batch: Batch, command: Command[ClaimTasks, Claimed]) -> Claimed:
    claimed: list[tuple[Assignment, str]] = []
    room = batch.book(LimitsBook).room(batch, command.tenant_id) if command.body.is_limited else None
    for task_id, worker in command.body.tasks:
        if room is not None and len(claimed) >= room:
            break
        work = find_task(batch, (command.tenant_id, task_id))
        if work is None or not work.is_due(batch.now):
            continue
        claimed.append((claim(work, command.body.owner, worker, batch.now), worker))
    if command.body.is_limited:
        batch.book(LimitsBook).begin(command.tenant_id, len(claimed))
    return Claimed(tuple(claimed))


def _resolve_record(batch: Batch, commands: Sequence[Command[RecordAttempts, AttemptsRecorded]]) -> None:
    want_tasks(batch, [(command.tenant_id, one.task_id) for command in commands for one in command.body.attempts])
    for command in commands:
        for one in command.body.attempts:
            want_meter(batch, (command.tenant_id, one.task_id), one.used)


def _record(batch: Batch, command: Command[RecordAttempts, AttemptsRecorded]) -> AttemptsRecorded:
    found = [_record_one(batch, command, one) for one in command.body.attempts]
    return AttemptsRecorded(tuple(verdict for verdict, _ in found), any(for_others for _, for_others in found))


def _record_one(
    batch: Batch, command: Command[RecordAttempts, AttemptsRecorded], ended: EndedAttempt
) -> tuple[Verdict, bool]:
    """What becomes of an attempt, and whether others wait for what came of it."""
    tenant_id, for_others = command.tenant_id, False
    work = find_task(batch, (tenant_id, ended.task_id))
    if work is None or (work.token == ended.token and work.worker != ended.worker):
        return Verdict.REFUSED, False  # no such task, or not this worker's
    if work.state is not State.RUNNING or work.token != ended.token:
        return Verdict.LATE, False
    note_attempt(batch, work, ended.ending, None if ended.error is None else ended.error[:LONGEST_ERROR])
    usage = batch.book(UsageBook)
    meter(batch, command, work.kind, ended.used, done=ended.ending is AttemptEnding.DONE)
    if ended.ending is AttemptEnding.DONE:
        work.finish(ended.token, ended.result or "null", ended.usage, batch.now)
        usage.add(batch, tenant_id, work.kind, done=1, worked_ms=max(ended.worked_ms, 0))
        for_others = bring_answer(batch, work, command.body.keep_seconds)
    elif ended.ending is AttemptEnding.HANDED_BACK:
        work.park(ended.token, batch.now)
    else:
        work.fail(ended.token, ended.error or "", batch.now, again=ended.again, after_seconds=ended.after_seconds)
        usage.add(batch, tenant_id, work.kind, attempts_failed=1, failed=int(work.ended_at is not None))
        for_others = lose_answer(batch, work)
    return Verdict.ACCEPTED, for_others


def _resolve_recover(batch: Batch, commands: Sequence[Command[Recover, Recovered]]) -> None:
    keys = [
        (command.tenant_id, task_id)
        for command in commands
        for task_id in (
            *(orphan[0] for orphan in command.body.orphans),
            *command.body.overdue,
            *(follower[0] for follower in command.body.followers),
            *(stray[0] for stray in command.body.strays),
        )
    ]
    want_tasks(batch, keys)


def _recover(batch: Batch, command: Command[Recover, Recovered]) -> Recovered:
    usage, tenant_id = batch.book(UsageBook), command.tenant_id
    orphans = overdue = 0
    for task_id in command.body.overdue:
        work = find_task(batch, (tenant_id, task_id))
        if work is None or not work.is_overdue(batch.now):
            continue
        if work.state is State.RUNNING:
            note_attempt(batch, work, AttemptEnding.OVERDUE, Mishap.OVERDUE)
        work.give_up(Mishap.OVERDUE, batch.now)
        lose_answer(batch, work)
        usage.add(batch, tenant_id, work.kind, failed=1)
        overdue += 1
    for task_id, token in command.body.orphans:
        work = find_task(batch, (tenant_id, task_id))
        if work is None or work.state is not State.RUNNING or work.token != token:
            continue
        note_attempt(batch, work, AttemptEnding.LOST, Mishap.ABANDONED)
        work.fail(token, Mishap.ABANDONED, batch.now, again=True, after_seconds=0.0)
        lose_answer(batch, work)
        usage.add(batch, tenant_id, work.kind, attempts_failed=1, failed=int(work.ended_at is not None))
        orphans += 1
    for task_id, token in command.body.strays:
        work = find_task(batch, (tenant_id, task_id))
        if work is not None and work.state is State.RUNNING and work.token == token:
            note_attempt(batch, work, AttemptEnding.HANDED_BACK, None)
            work.park(token, batch.now)
    answered = [
        task_id
        for task_id, asking_id in command.body.followers
        if _settle_follower(batch, tenant_id, task_id, asking_id)
    ]
    return Recovered(orphans, overdue, tuple(answered))


def _settle_follower(batch: Batch, tenant_id: str, task_id: str, gone_id: str | None) -> bool:
    """Gives a task the answer that it waited for, or lets it ask in the place of the one that is gone; whether it has ended."""
    work = find_task(batch, (tenant_id, task_id))
    if work is None or work.state is not State.WAITING or work.run_at != LATEST or work.digest is None:
        return False
    if gone_id is not None:
        batch.book(AnswerBook).find(tenant_id, work.digest).give_up(gone_id)
    join_answer(batch, work, work.created_at)
    return work.ended_at is not None


CLAIM: Operation[ClaimTasks, Claimed] = Operation(
    "fleet.claim", Effect.INCREASE, ClaimTasks, Claimed, _claim, _resolve_claim
)
"""Refused while a stop covers the tenant: its tasks wait, and no attempt is counted."""
RECORD: Operation[RecordAttempts, AttemptsRecorded] = Operation(
    "fleet.record_attempts",
    Effect.CONTROL,
    RecordAttempts,
    AttemptsRecorded,
    _record,
    _resolve_record,
    touches=("ledger",),
)
RECOVER: Operation[Recover, Recovered] = Operation(
    "fleet.recover", Effect.CONTROL, Recover, Recovered, _recover, _resolve_recover, enqueues=QUEUE
)
