"""The book of answers of a batch, and the one way in which a task joins, brings or loses one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from operator import attrgetter

import msgspec

from nervio.db.batch import Batch, Book
from nervio.db.queue import QueueBook, WorkKey
from nervio.db.queue_moves import Work
from nervio.db.writes import Insert, Row, Update
from nervio.kernel.time import LATEST, Instant
from nervio.modules.fleet.book import SpendBook, UsageBook
from nervio.modules.fleet.domain.answers import KeptAnswer
from nervio.modules.fleet.domain.use import use_of
from nervio.modules.fleet.models import fleet_answers
from nervio.modules.fleet.store.answers import COLUMNS, KEY, AnswerKey, lock_answers

_row: Callable[[KeptAnswer], Row] = attrgetter(*KEY, *COLUMNS)


class AnswerBook(Book):
    """Answers by (tenant, digest), locked; those that are not kept yet begin empty."""

    lock_name = "answer"

    def __init__(self) -> None:
        self._wanted: dict[AnswerKey, str] = {}
        self._of_tasks: set[WorkKey] = set()
        self._answers: dict[AnswerKey, KeptAnswer] = {}
        self._new: set[AnswerKey] = set()
        self._changed: set[AnswerKey] = set()
        self._undo: list[Callable[[], object]] = []

    def want(self, batch: Batch, key: AnswerKey, kind: str) -> None:
        """Declares the answer to tasks of a kind."""
        batch.book(SpendBook)  # opened after this one, for the cost of what is found
        self._wanted[key] = kind

    def want_of(self, batch: Batch, tasks: Iterable[WorkKey]) -> None:
        """Declares the answers of tasks that are wanted of the queue, which is opened before."""
        batch.book(SpendBook)
        self._of_tasks.update(tasks)

    def open(self, batch: Batch) -> None:
        queue = batch.book(QueueBook)
        for key in self._of_tasks:
            work = queue.peek(key)
            if work is not None and work.digest is not None:
                self._wanted[work.tenant_id, work.digest] = work.kind
        self._of_tasks.clear()
        missing = sorted(self._wanted.keys() - self._answers.keys())
        if missing:
            found = lock_answers(batch.connection, batch.dialect, missing)
            self._new.update(key for key in missing if key not in found)
            self._answers.update({key: found.get(key) or KeptAnswer(*key) for key in missing})
            for key, answer in found.items():
                used = use_of(answer.usage)
                if used.cost_micros:
                    batch.book(SpendBook).want(key[0], self._wanted[key], used.currency)

    def find(self, tenant_id: str, digest: str) -> KeptAnswer:
        """An answer that was wanted, to be changed."""
        key = tenant_id, digest
        answer = self._answers[key]
        self._undo.append(partial(self._answers.__setitem__, key, replace(answer)))
        self._changed.add(key)
        return answer

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int | None) -> None:
        while len(self._undo) > (mark or 0):
            self._undo.pop()()

    def flush(self, batch: Batch) -> None:
        changed = [
            key for key in sorted(self._changed) if self._answers[key].task_id is not None or key not in self._new
        ]
        new = [_row(self._answers[key]) for key in changed if key in self._new]
        batch.writes.append(Insert(fleet_answers, (*KEY, *COLUMNS), new, may_race=True))
        old = [_row(self._answers[key]) for key in changed if key not in self._new]
        batch.writes.append(Update(fleet_answers, KEY, COLUMNS, old))


def join_answer(batch: Batch, work: Work, asked_at: Instant) -> bool:
    """Lets a task that waits ask for all that are equal to it, wait for the one that does, or end with the answer that is there,
    or that came since it was asked. Whether it is to be done by somebody."""
    if work.digest is None:
        return True
    answer = batch.book(AnswerBook).find(work.tenant_id, work.digest)
    if answer.is_fresh(batch.now) or answer.answers(asked_at):
        end_with(batch, work, answer)
        return False
    if answer.is_asked(work.priority) and answer.task_id != work.id:
        if work.run_at != LATEST:
            answer.awaited += 1
        work.run_at = LATEST
        return False
    answer.ask(work.id, work.priority)
    work.run_at = batch.now
    return True


def end_with(batch: Batch, work: Work, answer: KeptAnswer) -> None:
    """Ends a task with an answer that was paid for before."""
    saved = msgspec.Raw((answer.usage or "null").encode())
    usage = msgspec.json.encode({"cached": True, "saved": saved}).decode()
    work.answer(answer.result or "null", usage, batch.now)
    used = use_of(answer.usage)
    batch.book(UsageBook).add(
        batch,
        work.tenant_id,
        work.kind,
        done=1,
        cached=1,
        saved_input_tokens=used.input_tokens,
        saved_output_tokens=used.output_tokens,
    )
    if used.cost_micros:
        batch.book(SpendBook).add_saved(batch, work.tenant_id, work.kind, used)


def bring_answer(batch: Batch, work: Work, keep_seconds: float) -> bool:
    """Keeps what a task came to, where it asked for all; whether others wait for it."""
    if work.digest is None:
        return False
    answer = batch.book(AnswerBook).find(work.tenant_id, work.digest)
    return answer.keep(work.id, work.result or "null", work.usage, batch.now, keep_seconds)


def lose_answer(batch: Batch, work: Work) -> bool:
    """Lets the next ask, where the task that did has ended without an answer; whether one waits."""
    if work.digest is None or work.ended_at is None:
        return False
    return batch.book(AnswerBook).find(work.tenant_id, work.digest).give_up(work.id)
