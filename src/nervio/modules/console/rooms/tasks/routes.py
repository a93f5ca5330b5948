"""The list of tasks, and the page of one: what was asked, what came of it, why it waits, what was tried."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND, to_datetime
from nervio.modules.console import lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.mishaps import in_words
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect, text_of, watch_of
from nervio.modules.console.rooms.tasks import reading
from nervio.modules.console.tables import Choice, Column, Filter, Table
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import Attempt, Priority, Task, TaskState

TASKS = "/console/tasks"
MODULE = "fleet"
FIGURES = "task-figures"
"""The part of the list's page that loads itself again."""
ENDED = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)

COLUMNS = (
    Column("about", "col.request", fixed=True),
    Column("kind", "col.kind", phone=False),
    Column("state", "col.state"),
    Column("priority", "col.priority", phone=False),
    Column("worker", "col.worker", phone=False),
    Column("took", "col.took", numeric=True, phone=False),
    Column("at", "col.at", phone=False),
)

router = page_router()


@router.get(TASKS)
async def show_tasks(request: Request) -> Response:
    """Tasks, the newest first, of a state and a kind where one is chosen; above them how the fleet does."""
    frame = await open_frame(request, api.READ)
    given, kind = frame.query("state", 20), frame.query("kind", 40)
    state = TaskState(given) if given in list(TaskState) else None
    if lists.wants_csv(frame):
        return lists.to_csv("/api/tasks", state=state, kind=kind)

    async def read(position: lists.Positions | None, limit: int, backwards: bool) -> list[Task]:
        if frame.request.headers.get("x-nervio-swap") == FIGURES:
            return []  # the figures come again every two seconds, and nothing else of the page is looked at
        before = None if position is None else (position[0], position[1])
        return await api.list_tasks(
            frame.ctx,
            state=state,
            kind=kind or None,
            before=before,
            limit=limit,
            backwards=backwards,
            results=False,
        )

    cut = await lists.page(lists.start_of(frame, "int", "id"), read, lambda task: (task.created_at, task.id))
    used = {one.kind for one in await api.read_usage(frame.ctx, *api.ALL_DAYS)}
    kinds = sorted(used | {kind} - {""})
    table = Table(
        path=TASKS,
        columns=COLUMNS,
        name="tasks",
        chosen={"state": state or "", "kind": kind},
        hidden=lists.hidden_of(frame, COLUMNS),
        filters=(
            Filter("state", "tasks.any_state", tuple(Choice(s, frame.t(f"tasks.state.{s}")) for s in TaskState)),
            Filter("kind", "tasks.any_kind", tuple(Choice(each, _kind(frame, each)) for each in kinds)),
        ),
        views=await lists.views_of(frame, "tasks"),
        shown=len(cut.rows),
        previous_cursor=cut.previous,
        next_cursor=cut.following,
    )
    rows = [_row(frame, task) for task in cut.rows]
    return frame.page("tasks", {"table": table, "rows": rows, "figures": await _figures(frame)})


@router.get(TASKS + "/{task_id}")
async def show_task(request: Request, task_id: str) -> Response:
    """One task. While it has not ended its parts load themselves again."""
    return await _task_page(await open_frame(request, api.READ), task_id)


@router.post(TASKS + "/{task_id}/cancel")
async def cancel_task(request: Request, task_id: str) -> Response:
    """Ends a task that nobody wants any more. A second press changes nothing."""
    frame = await open_frame(request, api.SUBMIT_TASKS)
    await frame.form()
    return await _moved(frame, task_id, api.cancel_task(frame.ctx, task_id))


@router.post(TASKS + "/{task_id}/retry")
async def retry_task(request: Request, task_id: str) -> Response:
    """Queues a task again. The form carries which end of it is meant, so that a second press does not meet the next."""
    frame = await open_frame(request, api.SUBMIT_TASKS)
    form = await frame.form()
    key = text_of(form, "key", 64) or None
    return await _moved(frame, task_id, api.retry_task(frame.ctx, task_id, key))


async def _moved(frame: Frame, task_id: str, move: Awaitable[object]) -> Response:
    try:
        await move
    except NervioError as refusal:
        if refusal.kind is not Kind.CONFLICT:
            raise
        return await _task_page(frame, task_id, frame.explain(refusal), 409)
    return redirect(f"{TASKS}/{task_id}")


async def _task_page(frame: Frame, task_id: str, error: str = "", status: int = 200) -> Response:
    task, attempts = await api.get_task(frame.ctx, task_id)
    stopped = watch_of(frame.request).find_blocking_effect(frame.ctx.tenant_id, MODULE) is not None
    reason = await api.explain_waiting(frame.ctx, task, stopped=stopped)
    people = await frame.people()
    done = task.state is TaskState.DONE
    said = reading.answer(task.result) if done else None
    context: dict[str, Any] = {
        "task": _facts(frame, task, people),
        "reason": "" if reason is None else reason.value,
        "asked": reading.conversation(task.payload),
        "payload": reading.pretty(task.payload),
        "answer": said,
        "result": reading.pretty(task.result) if done and (said is None or reading.is_more(task.result)) else None,
        "usage": reading.usage(task.usage),
        "attempts": _attempts(frame, task, attempts),
        "error": error,
        # A page that says what was refused stands at an address that answers to nothing but the form.
        "is_live": task.state not in ENDED and not error,
    }
    return frame.page("task", context, status)


async def _figures(frame: Frame) -> dict[str, Any]:
    found = await api.get_statistics(frame.ctx)
    tenths = round(1000 * found.error_rate)
    return {
        "waiting": found.queue_length,
        "last_minute": found.throughput,
        "p95": found.p95_seconds,
        "average": found.average_seconds,
        "error_rate": frame.formats.number(tenths // 10, str(tenths % 10) if tenths % 10 else "") + "\u00a0%",
        "errors": found.total_errors,
        "last_error": reading.line(in_words(frame.t, found.last_error)),
    }


def _kind(frame: Frame, kind: str) -> str:
    key = f"fleet.kind.{kind}"
    return frame.t(key) if frame.t.knows(key) else kind


def _row(frame: Frame, task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "about": reading.about(task.payload),
        "kind": task.kind,
        "model": task.model,
        "state": task.state.value,
        "priority": _priority(task.priority),
        "worker": task.worker or "",
        "took": _took(task),
        "at": to_datetime(task.created_at),
        "error": reading.line(in_words(frame.t, task.error)),
    }


def _facts(frame: Frame, task: Task, people: Mapping[str, str]) -> dict[str, Any]:
    def moment(instant: int | None) -> Any:
        return None if instant is None else to_datetime(instant)

    return {
        **_row(frame, task),
        "attempts": task.attempts,
        "most_attempts": task.most_attempts,
        "error": reading.cut(in_words(frame.t, task.error)).text,
        "by": name_of(people, task.created_by),
        "is_over": task.state in ENDED,
        "can_retry": task.state in (TaskState.FAILED, TaskState.CANCELLED),
        "run_at": moment(task.run_at),
        "deadline_at": moment(task.deadline_at),
        "started_at": moment(task.started_at),
        "ended_at": moment(task.ended_at),
        # Each end of a task is another, so a key made of it lets each be undone once.
        "retry_key": f"{task.id} {task.ended_at}",
    }


def _attempts(frame: Frame, task: Task, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "n": one.n,
            "worker": one.worker,
            "ending": one.ending.value,
            "error": reading.cut(in_words(frame.t, one.error)).text,
            "started_at": to_datetime(one.started_at),
            "took": (one.ended_at - one.started_at) / SECOND,
        }
        for one in attempts
    ]
    if task.state is TaskState.RUNNING and task.started_at is not None:
        started = to_datetime(task.started_at)
        under_way = {"n": task.attempts, "worker": task.worker or "", "ending": "", "error": "", "took": None}
        rows.append({**under_way, "started_at": started})
    return rows


def _took(task: Task) -> float | None:
    """Seconds from asking to the answer, of a task that was done."""
    if task.state is not TaskState.DONE or task.ended_at is None:
        return None
    return (task.ended_at - task.created_at) / SECOND


def _priority(priority: Priority) -> str:
    return priority.name.lower()
