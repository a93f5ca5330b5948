"""The books of a batch in which tasks come and go: what each tenant used, how attempts ended, what they cost, and the limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from nervio.db.batch import Batch, Book
from nervio.db.queue import QueueBook, WorkKey, count_running
from nervio.db.writes import Insert, Row, Update
from nervio.kernel.time import Instant, to_datetime
from nervio.modules.fleet.contracts import Limits, Period
from nervio.modules.fleet.domain.bills import minor_to_post
from nervio.modules.fleet.domain.limits import Used, find_reached, list_quotas, refusal_of, write_limits
from nervio.modules.fleet.domain.use import LARGEST_DAY, Use
from nervio.modules.fleet.models import fleet_attempts, fleet_costs, fleet_limits, fleet_meters, fleet_usage
from nervio.modules.fleet.store.limits import (
    LIMITS_COLUMNS,
    LIMITS_KEY,
    lock_limits,
    make_rows,
    read_used,
)
from nervio.modules.fleet.store.spend import COST_KEY, COST_SUMS, METER_KEY, METER_SUMS, lock_costs, lock_meters
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.fleet.store.usage import KEY, SUMS, UsageKey, lock_usage
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account, Posting

_ATTEMPT = (
    "tenant_id", "task_id", "token", "n", "worker", "kind", "ending", "error", "submitted_at", "started_at", "ended_at",
)  # fmt: skip


_PLACES = {name: n for n, name in enumerate(SUMS)}
_COST, _SAVED = COST_SUMS.index("cost_micros"), COST_SUMS.index("saved_micros")
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
        self._limited: set[str] = set()
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
            sums, limited = lock_usage(batch.connection, batch.dialect, missing, rows_first=batch.rows_first)
            self._sums.update(sums)
            self._limited |= limited

    def is_limited(self, tenant_id: str) -> bool:
        """Whether a tenant whose sums were wanted has limits."""
        return tenant_id in self._limited

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


class LimitsBook(Book):
    """Tenants that have limits, one batch at a time each: what is used of them cannot grow meanwhile but by this batch."""

    lock_name = "limits"

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._wanted: set[str] = set()
        self._made: set[str] = set()
        self._limits: dict[str, Limits] = {}
        self._used: dict[str, Used] = {}
        self._running: dict[str, int] = {}
        self._changed: dict[str, Row] = {}
        self._undo: list[Callable[[], object]] = []

    def ask(self, tenant_id: str) -> None:
        """Declares a tenant whose sums are wanted of the `UsageBook`; it costs nothing where it has no limits."""
        self._asked.add(tenant_id)

    def want(self, tenant_id: str, *, make: bool = False) -> None:
        """Declares a tenant that is known to have limits, or that is to be given some."""
        self._wanted.add(tenant_id)
        if make:
            self._made.add(tenant_id)

    def open(self, batch: Batch) -> None:
        wanted = set(self._wanted)
        if self._asked:
            usage = batch.book(UsageBook)
            wanted |= {tenant_id for tenant_id in self._asked if usage.is_limited(tenant_id)}
        missing = sorted(wanted - self._limits.keys())
        if not missing:
            return
        if self._made:
            make_rows(batch.connection, batch.dialect, sorted(self._made))
        self._limits.update(lock_limits(batch.connection, batch.dialect, missing))
        # Statements of their own after the lock: they see what those committed who held it before.
        self._used.update(read_used(batch.connection, missing, batch.day_in(UTC)))
        shared = [
            tenant_id
            for tenant_id in missing
            # One whose limits this batch changes may be given a share before the next command of it.
            if tenant_id in self._made or self._limit_of(tenant_id).most_running is not None
        ]
        if shared:
            running = count_running(batch.connection, QUEUE)
            self._running.update({tenant_id: running.get(tenant_id, 0) for tenant_id in shared})

    def admit(self, batch: Batch, tenant_id: str) -> None:
        """Counts a task that comes. Raises `too_many` where a limit is reached."""
        if tenant_id not in self._used:
            return
        used = self._used[tenant_id]
        reached = find_reached(list_quotas(self._limit_of(tenant_id), used, batch.now), also_tasks=True)
        if reached is not None:
            raise refusal_of(reached, batch.now)
        for period in Period:
            used.tasks[period] += 1
        self._undo.append(partial(self._take_off, used))

    def room(self, batch: Batch, tenant_id: str) -> int | None:
        """How many more tasks of the tenant may begin; None for any number."""
        if tenant_id not in self._used:
            return None
        limits = self._limit_of(tenant_id)
        if find_reached(list_quotas(limits, self._used[tenant_id], batch.now), also_tasks=False) is not None:
            return 0
        return None if limits.most_running is None else max(0, limits.most_running - self._running.get(tenant_id, 0))

    def begin_one(self, batch: Batch, tenant_id: str) -> bool:
        """Counts a task that begins as soon as it comes; False where it has to wait."""
        room = self.room(batch, tenant_id)
        if room:
            self.begin(tenant_id, 1)
        return room is None or room > 0

    def begin(self, tenant_id: str, count: int) -> None:
        """Counts tasks that begin."""
        before = self._running.get(tenant_id, 0)
        self._running[tenant_id] = before + count
        self._undo.append(partial(self._running.__setitem__, tenant_id, before))

    def change(self, batch: Batch, tenant_id: str, actor_id: str, limits: Limits) -> Limits:
        """Gives a tenant other limits; returns those it had."""
        before = self._limit_of(tenant_id)
        self._undo.append(partial(self._put_back, tenant_id, before, self._changed.get(tenant_id)))
        self._limits[tenant_id] = limits
        self._changed[tenant_id] = (tenant_id, write_limits(limits), actor_id, batch.now)
        return before

    def _limit_of(self, tenant_id: str) -> Limits:
        return self._limits.get(tenant_id) or Limits()

    def _take_off(self, used: Used) -> None:
        for period in Period:
            used.tasks[period] -= 1

    def _put_back(self, tenant_id: str, limits: Limits, row: Row | None) -> None:
        self._limits[tenant_id] = limits
        if row is None:
            self._changed.pop(tenant_id, None)
        else:
            self._changed[tenant_id] = row

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int | None) -> None:
        while len(self._undo) > (mark or 0):
            self._undo.pop()()

    def flush(self, batch: Batch) -> None:
        rows = [self._changed[tenant_id] for tenant_id in sorted(self._changed)]
        batch.writes.append(Update(fleet_limits, LIMITS_KEY, LIMITS_COLUMNS, rows))


MeterKey = tuple[str, str, str]
"""(tenant, kind, currency)"""


class SpendBook(Book):
    """What attempts cost, a day, kind and currency; and the ledger's share of it, posted as one sum a tenant and kind a batch.

    The ledger holds minor units, so a sum is posted as far as it fills some; a meter has the whole of it. At every commit
    posted x (millionths a minor unit) <= the meter < (posted + 1) x the same, and the meter is the sum of all days.
    """

    lock_name = "spend"

    def __init__(self) -> None:
        self._wanted: set[MeterKey] = set()
        self._of_tasks: set[tuple[WorkKey, str]] = set()
        self._costs: dict[Row, list[int]] = {}
        self._meters: dict[Row, list[int]] = {}
        self._actors: dict[tuple[str, str], str] = {}
        self._changed: set[MeterKey] = set()
        self._undo: list[Callable[[], object]] = []

    def want_of(self, task: WorkKey, currency: str) -> None:
        """Declares today's cost, in a currency, of the kind of a task that is wanted of the queue, which is opened before."""
        self._of_tasks.add((task, currency))

    def want(self, tenant_id: str, kind: str, currency: str) -> None:
        """Declares today's cost of a kind in a currency."""
        self._wanted.add((tenant_id, kind, currency))

    def open(self, batch: Batch) -> None:
        queue = batch.book(QueueBook)
        for key, currency in self._of_tasks:
            work = queue.peek(key)
            if work is not None:
                self.want(work.tenant_id, work.kind, currency)
        self._of_tasks.clear()
        missing = sorted(self._wanted - self._meters.keys())
        if not missing:
            return
        ledger.book(batch)  # from now on part of the batch: what is posted in our flush is written in its own
        today = batch.day_in(UTC)
        costs = [(tenant_id, today, kind, currency) for tenant_id, kind, currency in missing]
        connection, dialect, rows_first = batch.connection, batch.dialect, batch.rows_first
        self._costs.update(lock_costs(connection, dialect, costs, rows_first=rows_first))
        self._meters.update(lock_meters(connection, dialect, missing, rows_first=rows_first))

    def add(self, batch: Batch, tenant_id: str, actor_id: str, kind: str, use: Use, *, done: bool) -> bool:
        """Adds what an attempt cost; False where the day's sum would no longer fit, and nothing was added."""
        key = tenant_id, kind, use.currency
        costs = self._costs[tenant_id, batch.day_in(UTC), kind, use.currency]
        meter = self._meters[key]
        more = (int(done), use.input_tokens, use.output_tokens, use.cost_micros, 0)
        if costs[_COST] + use.cost_micros > LARGEST_DAY:
            return False
        self._add(costs, more)
        meter[0] += use.cost_micros
        self._changed.add(key)
        self._actors[tenant_id, kind] = actor_id
        self._undo.append(partial(self._subtract, costs, meter, more))
        return True

    def add_saved(self, batch: Batch, tenant_id: str, kind: str, use: Use) -> None:
        """Adds what an answer would have cost that was there already; nothing where the day's sum would no longer fit."""
        key = tenant_id, kind, use.currency
        costs = self._costs[tenant_id, batch.day_in(UTC), kind, use.currency]
        if costs[_SAVED] + use.cost_micros > LARGEST_DAY:
            return
        more = (0, 0, 0, 0, use.cost_micros)
        self._add(costs, more)
        self._changed.add(key)
        self._undo.append(partial(self._subtract, costs, self._meters[key], more))

    @staticmethod
    def _add(costs: list[int], more: tuple[int, ...]) -> None:
        for n, value in enumerate(more):
            costs[n] += value

    @staticmethod
    def _subtract(costs: list[int], meter: list[int], more: tuple[int, ...]) -> None:
        for n, value in enumerate(more):
            costs[n] -= value
        meter[0] -= more[_COST]

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int | None) -> None:
        while len(self._undo) > (mark or 0):
            self._undo.pop()()

    def flush(self, batch: Batch) -> None:
        today = batch.day_in(UTC)
        entries: dict[tuple[str, str], list[Posting]] = {}
        for key in sorted(self._changed):
            tenant_id, kind, currency = key
            meter = self._meters[key]
            more = minor_to_post(meter[0], meter[1], currency)
            if more > 0:
                posting = (Account.AI_WORK.value, Account.AI_PAYABLE.value, currency, "", more)
                entries.setdefault((tenant_id, kind), []).append(posting)
                meter[1] += more
        for (tenant_id, kind), postings in entries.items():
            actor_id = self._actors[tenant_id, kind]
            ledger.book(batch).post(tenant_id, actor_id, "ai_metered", f"ai:{today}:{kind}", kind, batch.now, postings)
        costs = [(tenant_id, today, kind, currency) for tenant_id, kind, currency in sorted(self._changed)]
        batch.writes.append(Update(fleet_costs, COST_KEY, COST_SUMS, [(*key, *self._costs[key]) for key in costs]))
        meters = [(*key, *self._meters[key]) for key in sorted(self._changed)]
        batch.writes.append(Update(fleet_meters, METER_KEY, METER_SUMS, meters))


def day_of(now: Instant) -> str:
    """The day in UTC, by which use is summed."""
    return to_datetime(now).date().isoformat()
