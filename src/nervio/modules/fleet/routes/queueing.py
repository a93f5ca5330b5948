"""Queueing one task over HTTP: the hot route of the fleet."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, invalid
from nervio.kernel.time import to_iso
from nervio.modules.fleet import api
from nervio.modules.fleet.routes.counting import count_submission
from nervio.modules.fleet.schemas.tasks import TaskBody
from nervio.web.bodies import refuse_nul
from nervio.web.manifest import HotRoute
from nervio.web.operations import operation
from nervio.web.problems import invalid_request
from nervio.web.request import context_of, idempotency_key_of

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


async def submit_task(request: Request) -> Response:
    """Queues the task of the body; see `SUBMIT_TASK` for what it takes and answers."""
    ctx = context_of(request)
    ctx.require(api.SUBMIT_TASKS)
    count_submission(ctx, request.app.state)
    key = idempotency_key_of(request)
    task = read_task(await request.body()).to_task()
    queued = await api.submit_task(ctx, task, key, request.app.state.openings)
    answer = {"id": queued.id, "state": queued.state, "created_at": to_iso(queued.created_at)}
    return Response(_encode(answer), 202, media_type="application/json")


def read_task(raw: bytes) -> TaskBody:
    """The task of a body. Raises `invalid` naming every field that is wrong."""
    try:
        told = _decode(raw)
        refuse_nul(told)
        return TaskBody.model_validate(told)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False, include_input=False)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise invalid("malformed_json", f"The body must be one JSON object in UTF-8: {error}.", field="body") from None


_EXAMPLES: dict[str, Any] = {
    "question": {"kind": "chat", "payload": {"messages": [{"role": "user", "content": "¿Qué vendimos ayer?"}]}},
    "urgent": {"kind": "embed", "payload": {"input": ["yerba 500 g"]}, "priority": "high", "retries": 1},
}

SUBMIT_TASK = HotRoute(
    path="/api/tasks",
    method="POST",
    endpoint=submit_task,
    openapi=operation(
        operation_id="submit_task",
        tag="fleet",
        summary="Queue a task",
        description=(
            "Queues a task durably; a worker takes it as soon as one can. Ask for it with `GET /api/tasks/{task_id}`. One that "
            "asks for the same as another of the shop gets that one's answer, unless `cache` is false."
        ),
        permission=api.SUBMIT_TASKS,
        body=TaskBody.model_json_schema(),
        examples=_EXAMPLES,
        answers={202: ("The task is queued, or answered already.", {"$ref": "#/components/schemas/QueuedReply"})},
        refusals=(Kind.CONFLICT,),
    ),
)
