"""Answers while they are made, as server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from starlette.responses import Response, StreamingResponse

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind
from nervio.modules.fleet import api
from nervio.modules.fleet.schemas.tasks import TaskWithAttempts
from nervio.web.access import needs
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api", tags=["fleet"])

TaskId = Annotated[str, Path(pattern=ID_PATTERN)]
HEARTBEAT_SECONDS = 15.0


@router.get(
    "/tasks/{task_id}/stream",
    operation_id="follow_task",
    summary="Follow an answer while it is made",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: `chunk` with a part of the answer, `reset` where the attempt before came to "
            "nothing and the answer begins anew, `end` with the task as `GET /api/tasks/{task_id}` gives it.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **refusals(Kind.NOT_FOUND),
    },
    **needs(api.READ),
)
async def follow_task(
    request: Request,
    ctx: CurrentCtx,
    task_id: TaskId,
    last_event_id: Annotated[
        str | None,
        Header(max_length=60, description="The id of the last event that came; the stream goes on behind it."),
    ] = None,
) -> Response:
    """Parts of the answer as its worker makes them. A reader that was cut off goes on where it was by `Last-Event-ID`. Many answers
    over one line, and tasks submitted over it: the WebSocket `/api/tasks/live`."""
    await api.get_task(ctx, task_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = answer_events(ctx, request.app.state.drafts, task_id, place_of(last_event_id))
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def place_of(last_event_id: str | None) -> tuple[int, int] | None:
    """Where a reader was: (token, characters). An id that is none of ours says nothing: it begins at the beginning."""
    token, _, seen = (last_event_id or "").partition(":")
    if not (token.isdecimal() and seen.isdecimal() and token.isascii() and seen.isascii()):
        return None
    return int(token), int(seen)


async def answer_events(
    ctx: Ctx, drafts: api.Drafts, task_id: str, after: tuple[int, int] | None
) -> AsyncIterator[str]:
    """The events of one answer; the id of each says where its reader is."""
    token = None if after is None else after[0]
    beat_at = time.monotonic() + HEARTBEAT_SECONDS
    async for part in api.follow_answer(ctx, drafts, task_id, after):
        if part is not None:
            if token is not None and part.token != token:
                yield "event: reset\ndata: {}\n\n"
            token = part.token
            place = f"{part.token}:{part.start + len(part.text)}"
            yield f"event: chunk\nid: {place}\ndata: {json.dumps({'text': part.text}, ensure_ascii=False)}\n\n"
        elif time.monotonic() >= beat_at:
            beat_at = time.monotonic() + HEARTBEAT_SECONDS
            yield ": still here\n\n"
    task = TaskWithAttempts.with_attempts(*await api.get_task(ctx, task_id))
    yield f"event: end\ndata: {task.model_dump_json()}\n\n"
