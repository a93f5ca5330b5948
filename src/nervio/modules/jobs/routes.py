"""Background jobs over HTTP. They are asked for by what needs them, so there is no route that queues one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind
from nervio.modules.jobs import api
from nervio.modules.jobs.contracts import JobRecord
from nervio.modules.jobs.schemas import JobMovedReply, JobQuery, JobReply
from nervio.web.access import needs
from nervio.web.lists import CSV_RESPONSE, Sheet, listed, page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

JobId = Annotated[str, Path(pattern=ID_PATTERN)]

_CELLS = (
    "id", "name", "state", "wait", "priority", "done", "total", "attempts", "error", "created_by", "created_at",
    "started_at", "ended_at",
)  # fmt: skip
JOB_SHEET: Sheet[JobReply] = Sheet("jobs", _CELLS, lambda job: [tuple(getattr(job, name) for name in _CELLS)])

_MOVES = refusals(Kind.NOT_FOUND, Kind.CONFLICT, Kind.TOO_MANY)


def _reply(request: Request, ctx: Ctx, job: JobRecord) -> JobReply:
    state = request.app.state
    known = {each.name: each for each in state.jobs}
    modules = ("jobs", *(known[job.name].modules if job.name in known else ()))
    stopped = any(state.halt_watch.find_blocking_effect(ctx.tenant_id, module) is not None for module in modules)
    return JobReply.of(job, api.explain_waiting(ctx, job, known, stopped=stopped))


@router.get(
    "",
    operation_id="list_jobs",
    summary="List background jobs",
    response_model=Page[JobReply],
    responses={**CSV_RESPONSE, **refusals()},
    **needs(api.READ),
)
async def list_jobs(
    request: Request, ctx: CurrentCtx, query: Annotated[JobQuery, Query()]
) -> Page[JobReply] | Response:
    """Background jobs, the newest first, without payloads and results. `format=csv` answers everything the filters leave."""

    async def read(cursor: str | None, limit: int) -> Page[JobReply]:
        before = position_of(cursor, "int", "id")
        found = await api.list_jobs(
            ctx,
            state=query.state,
            name=query.name,
            before=None if before is None else (before[0], before[1]),
            limit=limit + 1,
        )
        return page_of(found, limit, lambda job: _reply(request, ctx, job), lambda job: (job.created_at, job.id))

    return await listed(request, query, JOB_SHEET, read)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Get one background job",
    response_model=JobReply,
    responses=refusals(Kind.NOT_FOUND),
    **needs(api.READ),
)
async def get_job(request: Request, ctx: CurrentCtx, job_id: JobId) -> JobReply:
    """A background job: how far it is, what came of it, why it waits."""
    return _reply(request, ctx, await api.get_job(ctx, job_id))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a background job",
    response_model=JobMovedReply,
    responses=_MOVES,
    **needs(api.MOVE),
)
async def cancel_job(ctx: CurrentCtx, key: IdempotencyKey, job_id: JobId) -> JobMovedReply:
    """Ends a job that has not ended; what its steps have done stays done. Passes a stop of the level `reduce_only`."""
    return JobMovedReply.of(await api.cancel_job(ctx, job_id, key))


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    summary="Queue a background job again",
    response_model=JobMovedReply,
    responses=_MOVES,
    **needs(api.MOVE),
)
async def retry_job(ctx: CurrentCtx, key: IdempotencyKey, job_id: JobId) -> JobMovedReply:
    """Queues a job again that failed or was cancelled; it goes on where it stopped, with all its attempts."""
    return JobMovedReply.of(await api.retry_job(ctx, job_id, key))
