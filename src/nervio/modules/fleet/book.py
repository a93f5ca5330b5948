"""The book of a batch in which tasks come and go: what each tenant used, and how attempts ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from nervio.db.batch import Batch, Book
from nervio.db.queue import QueueBook, WorkKey
from nervio.db.writes import Insert, Row, Update
from nervio.modules.fleet.models import fleet_attempts, fleet_usage
from nervio.modules.fleet.store.usage import KEY, SUMS, UsageKey, lock_usage

_ATTEMPT = (
    "tenant_id", "task_id", "token", "n", "worker", "kind", "ending", "error", "submitted_at", "started_at", "ended_at",
)  # fmt: skip


_PLACES = {name: n for n, name in enumerate(SUMS)}
UTC = "UTC"
"""The clocks by whose days use is summed."""


class UsageBook(Book):
    """Sums a tenant, day and kind, locked; and attempts that have ended, which are only added."""

    lock_name = "usage"

    def __init__(self) -> None:
        self._wanted: set[UsageKey] = set()
        self._of_tasks: set[WorkKey] = set()
        self._sums: dict[UsageKey, list[int]] = {}
        self._changed: set[UsageKey] = set()
        self._attempts: list[Row] = []
        self._undo: list[Callable[[], object]] = []

    def want(self, batch: Batch, tenant_id: str, kind: str) -> None:
        """Declares today's sums of a kind."""
        self._wanted.add((tenant_id, batch.day_in(UTC), kind))

    def want_of(self, tasks: Iterable[WorkKey]) -> None:
        """Declares today's sums of the kinds of tasks that are wanted of the queue, which is opened before."""
        self._of_tasks.update(tasks)

    def open(self, batch: Batch) -> None:
        queue = batch.book(QueueBook)
        for key in self._of_tasks:
            work = queue.peek(key)
            if work is not None:
                self.want(batch, key[0], work.kind)
        self._of_tasks.clear()
        missing = sorted(self._wanted - self._sums.keys())
        if missing:
            self._sums.update(lock_usage(batch.connection, batch.dialect, missing, rows_first=batch.rows_first))

    def add(self, batch: Batch, tenant_id: str, kind: str, **more: int) -> None:
        """Adds to today's sums by name."""
        key = tenant_id, batch.day_in(UTC), kind
        sums = self._sums[key]
        self._undo.append(partial(self._sums.__setitem__, key, sums.copy()))
        for name, value in more.items():
            sums[_PLACES[name]] += value
        self._changed.add(key)

    def add_attempt(self, row: Row) -> None:
        """Adds an attempt that has ended: tenant, task, token, n, worker, kind, ending, error, submitted, started, ended."""
        self._attempts.append(row)
        self._undo.append(self._attempts.pop)

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int | None) -> None:
        while len(self._undo) > (mark or 0):
            self._undo.pop()()

    def flush(self, batch: Batch) -> None:
        rows = [(*key, *self._sums[key]) for key in sorted(self._changed)]
        batch.writes.append(Update(fleet_usage, KEY, SUMS, rows))
        batch.writes.append(Insert(fleet_attempts, _ATTEMPT, self._attempts))
