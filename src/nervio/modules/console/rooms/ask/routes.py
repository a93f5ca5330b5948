"""A question to AI: queued like any other task, answered on the page of the task, where it is seen being written."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame, redirect, text_of
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import Priority, SubmitTask, WorkerStatus

ASK = "/console/ask"
KIND = "chat"
LONGEST_QUESTION = 100_000
QUICK_SECONDS = 0.25
"""How long an answer that comes at once is waited for, so that the page of the task has it from the beginning. One that takes
longer is written there as it comes."""
FIELDS = ("question", "model", "priority")

router = page_router()


@router.get(ASK)
async def show_form(request: Request) -> Response:
    """The form; `question` in the address fills it in."""
    frame = await open_frame(request, api.SUBMIT_TASKS)
    return await _page(frame, {"question": frame.query("question", 2000), "model": frame.query("model")}, {})


@router.post(ASK)
async def ask(request: Request) -> Response:
    """Queues the question and leads to its page. The form's key makes a second press of the button harmless."""
    frame = await open_frame(request, api.SUBMIT_TASKS)
    form = await frame.form()
    typed = {name: text_of(form, name, LONGEST_QUESTION + 1) for name in FIELDS}
    key = text_of(form, "key", 64) or None
    if not typed["question"]:
        return await _page(frame, typed, {"question": frame.t("ask.question_missing")}, 422)
    if len(typed["question"]) > LONGEST_QUESTION:
        longest = frame.formats.number(LONGEST_QUESTION)
        return await _page(frame, typed, {"question": frame.t("ask.question_long", most=longest)}, 422)
    payload = json.dumps({"messages": [{"role": "user", "content": typed["question"]}]}, ensure_ascii=False)
    task = SubmitTask(KIND, payload, typed["model"], _priority(typed["priority"]))
    try:
        queued = await api.submit_task(frame.ctx, task, key, request.app.state.openings)
    except NervioError as refusal:
        field = str(refusal.data.get("field", ""))
        shown = {"payload": "question"}.get(field, field if field in FIELDS else "")
        return await _page(frame, typed, {shown: frame.explain(refusal)}, 422)
    if frame.may(api.READ):
        await api.wait_for_task(frame.ctx, queued.id, QUICK_SECONDS, request.app.state.drafts)
    return redirect(f"/console/tasks/{queued.id}")


async def _page(frame: Frame, typed: Mapping[str, str], errors: Mapping[str, str], status: int = 200) -> Response:
    models: list[str] | None = None
    if frame.may(api.READ):
        workers = [one for one in await api.list_workers(frame.ctx) if one.status is not WorkerStatus.GONE]
        able = [one for one in workers if KIND in one.kinds]
        models = sorted({model for one in able for model in one.models}) if able else None
    context = {
        "typed": {name: typed.get(name, "") for name in FIELDS},
        "errors": {name: errors.get(name, "") for name in ("", *FIELDS)},
        "models": models or [],
        "is_anybody_there": models is not None or not frame.may(api.READ),
        "key": new_id(),
    }
    return frame.page("ask", context, status)


def _priority(name: str) -> Priority:
    """The priority of that name; what the form does not offer counts as normal."""
    return next((priority for priority in Priority if priority.name.lower() == name), Priority.NORMAL)
