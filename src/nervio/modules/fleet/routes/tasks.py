"""Tasks over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.fleet import api
from nervio.modules.fleet.routes.counting import CountedCtx
from nervio.modules.fleet.schemas.tasks import (
    MovedReply,
    QueuedReply,
    TaskQuery,
    TaskReply,
    TasksBody,
    TasksReply,
    TaskVerdict,
    TaskWithAttempts,
)
from nervio.web.access import needs
from nervio.web.lists import CSV_RESPONSE, Sheet, listed, page_of, position_of, wants_csv
from nervio.web.pages import Page
from nervio.web.problems import problem_of, refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api", tags=["fleet"])

TaskId = Annotated[str, Path(pattern=ID_PATTERN)]
LONGEST_WAIT_SECONDS = 60.0

_CELLS = (
    "id", "kind", "model", "priority", "state", "attempts", "worker", "error", "created_by", "created_at", "started_at",
    "ended_at",
)  # fmt: skip
TASK_SHEET: Sheet[TaskReply] = Sheet("tasks", _CELLS, lambda task: [tuple(getattr(task, name) for name in _CELLS)])
"""A row a task, without what it was asked and answered, which fits no cell."""

_MOVES = refusals(Kind.NOT_FOUND, Kind.CONFLICT, Kind.TOO_MANY)


@router.post(
    "/tasks/batch",
    operation_id="submit_tasks",
    summary="Queue many tasks",
    status_code=202,
    response_model=TasksReply,
    responses=refusals(Kind.TOO_MANY),
    **needs(api.SUBMIT_TASKS),
)
async def submit_tasks(request: Request, ctx: CountedCtx, body: TasksBody) -> TasksReply:
    """Queues up to 1000 tasks in few commits, each with its own verdict: one that is refused keeps no other from being
    queued."""
    tasks = [(one.to_task(), one.idempotency_key) for one in body.tasks]
    outcomes = await api.submit_tasks(ctx, tasks, request.app.state.openings)
    verdicts = []
    for outcome in outcomes:
        if isinstance(outcome, NervioError):
            verdicts.append(TaskVerdict(task=None, problem=problem_of(outcome)))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            verdicts.append(TaskVerdict(task=QueuedReply.of(outcome), problem=None))
    return TasksReply(tasks=verdicts)


@router.get(
    "/tasks",
    operation_id="list_tasks",
    summary="List tasks",
    response_model=Page[TaskReply],
    responses={**CSV_RESPONSE, **refusals()},
    **needs(api.READ),
)
async def list_tasks(
    request: Request, ctx: CurrentCtx, query: Annotated[TaskQuery, Query()]
) -> Page[TaskReply] | Response:
    """Tasks, the newest first. `format=csv` answers everything the filters leave, without payloads and results."""
    results = query.results and not wants_csv(request, query)

    async def read(cursor: str | None, limit: int) -> Page[TaskReply]:
        before = position_of(cursor, "int", "id")
        found = await api.list_tasks(
            ctx,
            state=query.state,
            kind=query.kind,
            before=None if before is None else (before[0], before[1]),
            limit=limit + 1,
            results=results,
        )
        return page_of(found, limit, TaskReply.of, lambda task: (task.created_at, task.id))

    return await listed(request, query, TASK_SHEET, read)


@router.get(
    "/tasks/{task_id}",
    operation_id="get_task",
    summary="Get one task",
    response_model=TaskWithAttempts,
    responses=refusals(Kind.NOT_FOUND),
    **needs(api.READ),
)
async def get_task(
    request: Request,
    ctx: CurrentCtx,
    task_id: TaskId,
    wait_seconds: Annotated[
        float,
        Query(
            ge=0,
            le=LONGEST_WAIT_SECONDS,
            description="Answer as soon as the task has ended, at the latest after so long.",
        ),
    ] = 0.0,
) -> TaskWithAttempts:
    """A task with its result, and its attempts that have ended."""
    if wait_seconds:
        return TaskWithAttempts.with_attempts(
            *await api.wait_for_task(ctx, task_id, wait_seconds, request.app.state.drafts)
        )
    return TaskWithAttempts.with_attempts(*await api.get_task(ctx, task_id))


@router.post(
    "/tasks/{task_id}/cancel",
    operation_id="cancel_task",
    summary="Cancel a task",
    response_model=MovedReply,
    responses=_MOVES,
    **needs(api.SUBMIT_TASKS),
)
async def cancel_task(ctx: CurrentCtx, key: IdempotencyKey, task_id: TaskId) -> MovedReply:
    """Ends a task that has not ended; its worker is told to stop. Passes a stop of the level `reduce_only`."""
    moved = await api.cancel_task(ctx, task_id, key)
    return MovedReply(id=moved.id, state=moved.state)


@router.post(
    "/tasks/{task_id}/retry",
    operation_id="retry_task",
    summary="Queue a task again",
    response_model=MovedReply,
    responses=_MOVES,
    **needs(api.SUBMIT_TASKS),
)
async def retry_task(ctx: CountedCtx, key: IdempotencyKey, task_id: TaskId) -> MovedReply:
    """Queues a task again that failed or was cancelled, with all its attempts."""
    moved = await api.retry_task(ctx, task_id, key)
    return MovedReply(id=moved.id, state=moved.state)
