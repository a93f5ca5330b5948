"""The list of background jobs, and the page of one: how far it is, why it waits, what came of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.console import lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.mishaps import in_words
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect, text_of, watch_of
from nervio.modules.console.tables import Choice, Column, Filter, Table
from nervio.modules.jobs import api
from nervio.modules.jobs.contracts import JobRecord, JobState

JOBS = "/console/jobs"
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
LONGEST_DATA = 20_000
"""Characters of a payload or a result that a page shows; the whole is at the job's address in the API."""
LONGEST_LINE = 120

COLUMNS = (
    Column("name", "col.job", fixed=True),
    Column("state", "col.state"),
    Column("progress", "col.progress", numeric=True, phone=False),
    Column("at", "col.at", phone=False),
)

router = page_router()


@router.get(JOBS)
async def show_jobs(request: Request) -> Response:
    """Background jobs, the newest first, of a state where one is chosen."""
    frame = await open_frame(request, api.READ)
    given = frame.query("state", 20)
    state = JobState(given) if given in list(JobState) else None
    if lists.wants_csv(frame):
        return lists.to_csv("/api/jobs", state=state)

    async def read(position: lists.Positions | None, limit: int, backwards: bool) -> list[JobRecord]:
        before = None if position is None else (position[0], position[1])
        return await api.list_jobs(frame.ctx, state=state, before=before, limit=limit, backwards=backwards)

    cut = await lists.page(lists.start_of(frame, "int", "id"), read, lambda job: (job.created_at, job.id))
    table = Table(
        path=JOBS,
        columns=COLUMNS,
        name="jobs",
        chosen={"state": state or ""},
        hidden=lists.hidden_of(frame, COLUMNS),
        filters=(Filter("state", "jobs.any_state", tuple(Choice(s, frame.t(f"jobs.state.{s}")) for s in JobState)),),
        views=await lists.views_of(frame, "jobs"),
        shown=len(cut.rows),
        previous_cursor=cut.previous,
        next_cursor=cut.following,
    )
    return frame.page("jobs", {"table": table, "rows": [_row(frame, job) for job in cut.rows]})


@router.get(JOBS + "/{job_id}")
async def show_job(request: Request, job_id: str) -> Response:
    """One job. While it has not ended its part loads itself again."""
    return await _job_page(await open_frame(request, api.READ), job_id)


@router.post(JOBS + "/{job_id}/cancel")
async def cancel_job(request: Request, job_id: str) -> Response:
    """Ends a job that nobody wants any more. A second press changes nothing."""
    frame = await open_frame(request, api.MOVE)
    await frame.form()
    return await _moved(frame, job_id, api.cancel_job(frame.ctx, job_id))


@router.post(JOBS + "/{job_id}/retry")
async def retry_job(request: Request, job_id: str) -> Response:
    """Queues a job again. The form carries which end of it is meant, so that a second press does not meet the next."""
    frame = await open_frame(request, api.MOVE)
    form = await frame.form()
    return await _moved(frame, job_id, api.retry_job(frame.ctx, job_id, text_of(form, "key", 64) or None))


async def _moved(frame: Frame, job_id: str, move: Awaitable[object]) -> Response:
    try:
        await move
    except NervioError as refusal:
        if refusal.kind is not Kind.CONFLICT:
            raise
        return await _job_page(frame, job_id, frame.explain(refusal), 409)
    return redirect(f"{JOBS}/{job_id}")


async def _job_page(frame: Frame, job_id: str, error: str = "", status: int = 200) -> Response:
    job = await api.get_job(frame.ctx, job_id)
    known = {each.name: each for each in frame.request.app.state.jobs}
    watch, modules = watch_of(frame.request), ("jobs", *(known[job.name].modules if job.name in known else ()))
    stopped = any(watch.find_blocking_effect(frame.ctx.tenant_id, module) is not None for module in modules)
    reason = api.explain_waiting(frame.ctx, job, known, stopped=stopped)
    context: dict[str, Any] = {
        "job": _facts(frame, job, await frame.people()),
        "reason": "" if reason is None else reason.value,
        "payload": _data(job.payload),
        "result": _data(job.result) if job.result is not None else "",
        "error": error,
        # A page that says what was refused stands at an address that answers to nothing but the form.
        "is_live": job.state not in ENDED and not error,
    }
    return frame.page("job", context, status)


def _row(frame: Frame, job: JobRecord) -> dict[str, Any]:
    key = f"jobs.name.{job.name}"
    return {
        "id": job.id,
        "title": frame.t(key) if frame.t.knows(key) else job.name,
        "state": job.state.value,
        "done": job.done,
        "total": job.total,
        "at": to_datetime(job.created_at),
        "error": _line(in_words(frame.t, job.error)),
    }


def _facts(frame: Frame, job: JobRecord, people: Mapping[str, str]) -> dict[str, Any]:
    def moment(instant: int | None) -> Any:
        return None if instant is None else to_datetime(instant)

    return {
        **_row(frame, job),
        "name": job.name,
        "error": _writable(in_words(frame.t, job.error)),
        "by": name_of(people, job.created_by),
        "attempts": job.attempts,
        "most_attempts": job.most_attempts,
        "is_over": job.state in ENDED,
        "can_retry": job.state in (JobState.FAILED, JobState.CANCELLED),
        "run_at": moment(job.run_at),
        "deadline_at": moment(job.deadline_at),
        "ended_at": moment(job.ended_at),
        # Each end of a job is another, so a key made of it lets each be undone once.
        "retry_key": f"{job.id} {job.ended_at}",
    }


def _data(value: Any) -> str:
    return _writable(json.dumps(value, ensure_ascii=False, indent=2)[:LONGEST_DATA])


def _line(text: str) -> str:
    whole = " ".join(_writable(text[: 4 * LONGEST_LINE]).split())
    return whole if len(whole) <= LONGEST_LINE else whole[:LONGEST_LINE].rstrip() + "…"


def _writable(text: str) -> str:
    """JSON can say half a character and NUL, UTF-8 and HTML cannot."""
    return text.replace("\x00", "�").encode(errors="replace").decode()
