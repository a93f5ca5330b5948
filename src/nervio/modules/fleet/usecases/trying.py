"""The commands of whoever hands out work: claim it, record how attempts ended, bring back what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.queue import QueueBook
from nervio.db.queue_moves import ENDED, LONGEST_ERROR, State
from nervio.modules.fleet.book import UsageBook
from nervio.modules.fleet.contracts import AttemptEnding
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.usecases.submitting import claim, find_task, note_attempt, want_tasks
from nervio.ports.workers import Assignment, Verdict

OVERDUE = "The deadline was over before it was done."
LARGEST_COUNT = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class ClaimTasks:
    """Tasks to be claimed for an owner: (task id, worker id)."""

    owner: str
    tasks: tuple[tuple[str, str], ...]


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


@dataclass(frozen=True, slots=True)
class RecordAttempts:
    """Attempts of one tenant that have ended."""

    attempts: tuple[EndedAttempt, ...]


@dataclass(frozen=True, slots=True)
class AttemptsRecorded:
    """What became of each, in order."""

    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Recover:
    """`orphans`: (task id, token) of work whose owner is gone; `overdue`: tasks whose deadline is over."""

    orphans: tuple[tuple[str, int], ...]
    overdue: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many of them were moved."""

    orphans: int
    overdue: int


def _resolve_claim(batch: Batch, commands: Sequence[Command[ClaimTasks, Claimed]]) -> None:
    book = batch.book(QueueBook)
    for command in commands:
        book.want((command.tenant_id, task_id) for task_id, _ in command.body.tasks)


def _claim(batch: Batch, command: Command[ClaimTasks, Claimed]) -> Claimed:
    claimed = []
    for task_id, worker in command.body.tasks:
        work = find_task(batch, (command.tenant_id, task_id))
        if work is None or work.state is not State.WAITING or work.run_at > batch.now:
            continue
        claimed.append((claim(work, command.body.owner, worker, batch.now), worker))
    return Claimed(tuple(claimed))


def _resolve_record(batch: Batch, commands: Sequence[Command[RecordAttempts, AttemptsRecorded]]) -> None:
    want_tasks(batch, [(command.tenant_id, one.task_id) for command in commands for one in command.body.attempts])


def _record(batch: Batch, command: Command[RecordAttempts, AttemptsRecorded]) -> AttemptsRecorded:
    return AttemptsRecorded(tuple(_record_one(batch, command.tenant_id, one) for one in command.body.attempts))


def _record_one(batch: Batch, tenant_id: str, ended: EndedAttempt) -> Verdict:
    work = find_task(batch, (tenant_id, ended.task_id))
    if work is None or (work.token == ended.token and work.worker != ended.worker):
        return Verdict.REFUSED  # no such task, or not this worker's
    if work.state is not State.RUNNING or work.token != ended.token:
        return Verdict.LATE
    note_attempt(batch, work, ended.ending, None if ended.error is None else ended.error[:LONGEST_ERROR])
    usage = batch.book(UsageBook)
    if ended.ending is AttemptEnding.DONE:
        work.finish(ended.token, ended.result or "null", ended.usage, batch.now)
        sums = tokens_of(ended.usage)
        usage.add(batch, tenant_id, work.kind, done=1, worked_ms=max(ended.worked_ms, 0), **sums)
    elif ended.ending is AttemptEnding.HANDED_BACK:
        work.park(ended.token, batch.now)
    else:
        work.fail(ended.token, ended.error or "", batch.now, again=ended.again, after_seconds=ended.after_seconds)
        usage.add(batch, tenant_id, work.kind, attempts_failed=1, failed=int(work.ended_at is not None))
    return Verdict.ACCEPTED


def tokens_of(usage: str | None) -> dict[str, int]:
    """The tokens that a worker says it used, as far as they are counts."""
    try:
        told: Any = msgspec.json.decode(usage or "null")
    except msgspec.DecodeError:
        told = None
    values = told if isinstance(told, dict) else {}
    counts = {name: values.get(name, 0) for name in ("input_tokens", "output_tokens")}
    return {
        name: min(count, LARGEST_COUNT) if isinstance(count, int) and count > 0 else 0 for name, count in counts.items()
    }


def _resolve_recover(batch: Batch, commands: Sequence[Command[Recover, Recovered]]) -> None:
    keys = [
        (command.tenant_id, task_id)
        for command in commands
        for task_id in (*(orphan[0] for orphan in command.body.orphans), *command.body.overdue)
    ]
    want_tasks(batch, keys)


def _recover(batch: Batch, command: Command[Recover, Recovered]) -> Recovered:
    usage, tenant_id = batch.book(UsageBook), command.tenant_id
    orphans = overdue = 0
    for task_id in command.body.overdue:
        work = find_task(batch, (tenant_id, task_id))
        if work is None or work.state in ENDED or work.deadline_at is None or work.deadline_at > batch.now:
            continue
        if work.state is State.RUNNING:
            note_attempt(batch, work, AttemptEnding.OVERDUE, OVERDUE)
        work.give_up(OVERDUE, batch.now)
        usage.add(batch, tenant_id, work.kind, failed=1)
        overdue += 1
    for task_id, token in command.body.orphans:
        work = find_task(batch, (tenant_id, task_id))
        if work is None or work.state is not State.RUNNING or work.token != token:
            continue
        error = "The process that had handed it out was gone."
        note_attempt(batch, work, AttemptEnding.LOST, error)
        work.fail(token, error, batch.now, again=True, after_seconds=0.0)
        usage.add(batch, tenant_id, work.kind, attempts_failed=1, failed=int(work.ended_at is not None))
        orphans += 1
    return Recovered(orphans, overdue)


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
)
RECOVER: Operation[Recover, Recovered] = Operation(
    "fleet.recover", Effect.CONTROL, Recover, Recovered, _recover, _resolve_recover, enqueues=QUEUE
)
