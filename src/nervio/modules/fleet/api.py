"""What others ask of the fleet: tasks, workers, what was used. The dispatcher is started by the program itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from nervio.db.context import Ctx
from nervio.db.pruning import Aged
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import NervioError, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import SECOND, Instant
from nervio.modules.fleet.contracts import (
    AnswerPart,
    Attempt,
    Bill,
    Limits,
    LimitsState,
    Prediction,
    Priority,
    Spend,
    Statistics,
    SubmitTask,
    Task,
    TaskQueued,
    TaskState,
    Usage,
    WaitReason,
    WorkerRecord,
)
from nervio.modules.fleet.domain.bills import days_of, make_bill
from nervio.modules.fleet.domain.limits import check_limits
from nervio.modules.fleet.domain.prediction import Speed
from nervio.modules.fleet.domain.tasks import check_task
from nervio.modules.fleet.domain.waiting import why_waiting
from nervio.modules.fleet.metrics import SUBMITTED, count_refusal, label_of
from nervio.modules.fleet.store import spend, usage, workers
from nervio.modules.fleet.store import tasks as store
from nervio.modules.fleet.store.retention import aged_answers, aged_tasks
from nervio.modules.fleet.usecases.dispatching import Dispatcher, FindBlocking
from nervio.modules.fleet.usecases.drafts import Drafts
from nervio.modules.fleet.usecases.following import follow
from nervio.modules.fleet.usecases.limits import CHANGE_LIMITS, read_state
from nervio.modules.fleet.usecases.lines import Lines
from nervio.modules.fleet.usecases.openings import Openings
from nervio.modules.fleet.usecases.requests import RequestWindows, count_request
from nervio.modules.fleet.usecases.submitting import CANCEL, RETRY, TaskMoved, TaskNamed, queue_tasks
from nervio.modules.identity import api as identity

READ = "fleet.read"
SUBMIT_TASKS = "fleet.submit"
LIMIT = "fleet.limit"
LONGEST_PAGE = 500

FIRST_LOOK_SECONDS = 0.01
LONGEST_LOOK_SECONDS = 0.25
"""How often somebody who waits for a task looks at it: soon at first, then less and less often."""

WINDOW_SECONDS = 3600
MOST_MEASURED = 1000
ALL_DAYS = ("0000-01-01", "9999-12-31")


async def submit_tasks(
    ctx: Ctx, tasks: Sequence[tuple[SubmitTask, str | None]], openings: Openings | None = None
) -> list[TaskQueued | BaseException]:
    """Queues many tasks (task, idempotency key), each with its own verdict, in order. What is queued survives everything.

    With the `openings` of this process a task that somebody is free for is queued and claimed in one commit.
    """
    ctx.require(SUBMIT_TASKS)
    now = ctx.clock.now()
    refusals: list[NervioError | None] = []
    checked: list[tuple[SubmitTask, str | None]] = []
    for task, key in tasks:
        try:
            checked.append((check_task(task, now), key))
            refusals.append(None)
        except NervioError as refusal:
            refusals.append(refusal)
    outcomes = iter(await queue_tasks(ctx, checked, openings or Openings()))
    settled = [next(outcomes) if refusal is None else refusal for refusal in refusals]
    queued: Counter[str] = Counter()
    for (task, _), outcome in zip(tasks, settled, strict=True):
        if isinstance(outcome, TaskQueued):
            queued[task.kind] += 1
        elif isinstance(outcome, NervioError):
            count_refusal(outcome)
    for kind, count in queued.items():
        SUBMITTED.labels(label_of(kind)).inc(count)
    return settled  # type: ignore[return-value]


async def submit_task(
    ctx: Ctx, task: SubmitTask, key: str | None = None, openings: Openings | None = None
) -> TaskQueued:
    """Queues one task; see `submit_tasks`. Raises `invalid`, `halted`, `too_many`."""
    (outcome,) = await submit_tasks(ctx, [(task, key)], openings)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def cancel_task(ctx: Ctx, task_id: str, key: str | None = None) -> TaskMoved:
    """Ends a task that nobody wants any more; its worker is told, and a result that still comes is late. Passes a stop of the
    level `reduce_only`. Raises `not_found`, `conflict` (`work_state`) where it has ended."""
    ctx.require(SUBMIT_TASKS)
    return await ctx.submit(CANCEL, TaskNamed(_named(task_id)), key)


async def retry_task(ctx: Ctx, task_id: str, key: str | None = None) -> TaskMoved:
    """Queues a task again that failed or was cancelled, with all its attempts. Raises `not_found`, `conflict` (`work_state`)."""
    ctx.require(SUBMIT_TASKS)
    return await ctx.submit(RETRY, TaskNamed(_named(task_id)), key)


async def list_tasks(
    ctx: Ctx,
    *,
    state: TaskState | None = None,
    kind: str | None = None,
    before: tuple[Instant, str] | None = None,
    limit: int = 50,
    backwards: bool = False,
    results: bool = True,
) -> list[Task]:
    """Tasks, the newest first; `before` is (created_at, id) of the last one seen. With `backwards` the page before that one;
    without `results` each has None for its own, which may have megabytes."""
    ctx.require(READ)
    most = min(limit, LONGEST_PAGE + 1)
    wanted = None if state is None else state.value

    def query(connection: TenantConnection) -> Sequence[Any]:
        return store.list_tasks(
            connection, state=wanted, kind=kind, before=before, limit=most, backwards=backwards, results=results
        )

    return [_task(row) for row in await ctx.read(query)]


async def get_task(ctx: Ctx, task_id: str) -> tuple[Task, list[Attempt]]:
    """A task and its attempts that have ended. Raises `not_found`."""
    ctx.require(READ)
    wanted = _named(task_id)

    def query(connection: TenantConnection) -> tuple[Any, list[Attempt]]:
        return store.find_task(connection, wanted), store.list_attempts(connection, wanted)

    row, attempts = await ctx.read(query)
    if row is None:
        raise not_found("task", task_id)
    return _task(row), attempts


async def wait_for_task(
    ctx: Ctx, task_id: str, seconds: float, drafts: Drafts | None = None
) -> tuple[Task, list[Attempt]]:
    """The task as soon as it has ended, or as it is after so many seconds. Raises `not_found`.

    With the `drafts` of this process one that ends here is known of at once; any other by looking, soon at first.
    """
    ctx.require(READ)
    wanted, until, pause = _named(task_id), ctx.clock.monotonic() + seconds, FIRST_LOOK_SECONDS
    drafts, key = drafts or Drafts(), (ctx.tenant_id, wanted)
    with drafts.watching(key) as something:
        if drafts.will_end_here(key) and seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LONGEST_LOOK_SECONDS, seconds)):
                    await something.wait()
        while True:
            something.clear()
            task, attempts = await get_task(ctx, wanted)
            left = until - ctx.clock.monotonic()
            if task.ended_at is not None or left <= 0:
                return task, attempts
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, left)):
                    await something.wait()
            pause = min(1.5 * pause, LONGEST_LOOK_SECONDS)


async def follow_answer(
    ctx: Ctx, drafts: Drafts, task_id: str, after: tuple[int, int] | None = None
) -> AsyncGenerator[AnswerPart | None]:
    """Parts of an answer as they come, until the task has ended; None now and then while nothing comes. `after`: (token,
    characters) that were seen before a line was cut. Raises `not_found`."""
    await get_task(ctx, task_id)
    async for part in follow(ctx, drafts, task_id, after):
        yield part


async def explain_waiting(ctx: Ctx, task: Task, *, stopped: bool) -> WaitReason | None:
    """Why a task is not being done now; None of one that does not wait. `stopped`: a stop forbids handing work out."""
    ctx.require(READ)
    if task.state is not TaskState.WAITING:
        return None
    now = ctx.clock.now()
    state = await ctx.read(lambda c: read_state(c, now))
    return why_waiting(task, await ctx.database.read(workers.list_workers), now, stopped=stopped, state=state)


async def list_workers(ctx: Ctx) -> list[WorkerRecord]:
    """All workers of the installation, which serve every tenant, as they were written down in the last seconds."""
    ctx.require(READ)
    return await ctx.database.read(workers.list_workers)


async def list_predictions(ctx: Ctx) -> list[Prediction]:
    """What has been learnt of how long kinds of tasks take, with how far off predictions usually are."""
    ctx.require(READ)
    learnt = await ctx.database.read(workers.read_speeds)
    speeds = [(key, Speed(**values)) for key, values in learnt]
    return [Prediction(*key, one.samples, one.predict(one.size), one.error) for key, one in speeds]


async def read_usage(ctx: Ctx, since: str, until: str) -> list[Usage]:
    """What the tenant used per kind over days (in UTC, both included)."""
    ctx.require(READ)
    return await ctx.read(lambda c: usage.read_usage(c, since, until))


async def read_spend(ctx: Ctx, since: str, until: str) -> list[Spend]:
    """What the tenant's tasks cost per kind and currency over days (in UTC, both included)."""
    ctx.require(READ)
    return await ctx.read(lambda c: spend.read_spend(c, since, until))


async def get_limits(ctx: Ctx) -> LimitsState:
    """What the tenant may use, and what it has used of it."""
    ctx.require(READ)
    now = ctx.clock.now()
    return await ctx.read(lambda c: read_state(c, now))


async def change_limits(ctx: Ctx, limits: Limits, key: str | None = None) -> Limits:
    """Puts these limits in the place of those there are. In force for every task that comes after it, and for handing out
    within a second. Raises `invalid` naming the field."""
    ctx.require(LIMIT)
    return await ctx.submit(CHANGE_LIMITS, check_limits(limits), key)


async def get_bill(ctx: Ctx, month: str, markup_bp: int = 0) -> Bill:
    """What the tenant used in a month, `YYYY-MM` in UTC, with a mark-up on it. Raises `invalid` naming `month`."""
    ctx.require(READ)
    now, (since, until) = ctx.clock.now(), days_of(month)
    tenant = await identity.get_current_tenant(ctx)

    def query(connection: TenantConnection) -> Bill:
        used, costs = usage.read_usage(connection, since, until), spend.read_spend(connection, since, until)
        return make_bill(tenant.name, month, now, used, costs, markup_bp)

    return await ctx.read(query)


def list_aged(tasks_days: int) -> tuple[Aged, ...]:
    """What of the fleet is over, to be pruned by its age: tasks with their attempts, and answers that nobody gets any more. What
    was used and what it cost stays."""
    return aged_tasks(tasks_days), aged_answers()


async def get_statistics(ctx: Ctx) -> Statistics:
    """How the fleet does for the tenant."""
    ctx.require(READ)
    now = ctx.clock.now()

    def query(connection: TenantConnection) -> Statistics:
        sums = usage.read_usage(connection, *ALL_DAYS)
        done = store.list_done_since(connection, now - WINDOW_SECONDS * SECOND, MOST_MEASURED)
        taken = sorted((ended - submitted) / SECOND for submitted, ended in done)
        errors, tries = sum(one.attempts_failed for one in sums), sum(one.done + one.attempts_failed for one in sums)
        return Statistics(
            total_tasks=sum(one.submitted for one in sums),
            queue_length=store.count_waiting(connection),
            average_seconds=sum(taken) / len(taken) if taken else 0.0,
            p95_seconds=_percentile(taken, 0.95),
            p99_seconds=_percentile(taken, 0.99),
            throughput=store.count_done_since(connection, now - 60 * SECOND),
            total_errors=errors,
            error_rate=errors / tries if tries else 0.0,
            last_error=store.find_last_error(connection) if errors else None,
        )

    return await ctx.read(query)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _named(task_id: str) -> str:
    if not is_id(task_id):
        raise not_found("task", task_id)
    return task_id


def _task(row: Any) -> Task:
    return Task(
        id=row.id,
        kind=row.kind,
        model=row.model,
        priority=Priority(row.priority),
        state=TaskState(row.state),
        payload=json.loads(row.payload),
        size=row.size,
        attempts=row.attempts,
        most_attempts=row.most_attempts,
        worker=row.worker,
        result=None if row.result is None else json.loads(row.result),
        usage=None if row.usage is None else json.loads(row.usage),
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        run_at=row.run_at,
        deadline_at=row.deadline_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


__all__ = [
    "LIMIT",
    "READ",
    "SUBMIT_TASKS",
    "Dispatcher",
    "Drafts",
    "FindBlocking",
    "Lines",
    "Openings",
    "RequestWindows",
    "cancel_task",
    "change_limits",
    "count_request",
    "explain_waiting",
    "follow_answer",
    "get_bill",
    "get_limits",
    "get_statistics",
    "get_task",
    "list_aged",
    "list_predictions",
    "list_tasks",
    "list_workers",
    "read_spend",
    "read_usage",
    "retry_task",
    "submit_task",
    "submit_tasks",
    "wait_for_task",
]
