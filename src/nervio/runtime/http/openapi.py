"""The API's description: what FastAPI knows, the hot routes it does not know, and the problems any route may answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from nervio.kernel.errors import Kind
from nervio.web.manifest import HotRoute
from nervio.web.problems import MEDIA_TYPE, STATUS, Problem

PUBLIC_TAGS = frozenset({"health"})

DESCRIPTION = """\
Stock that is never oversold, money that is accounted for, and a stop that means stop.

**Amounts** are whole numbers: money in minor units (`…_minor`, 125050 is 1250.50), quantities in thousandths (`…_milli`, \
2000 is 2 pieces), tax rates in basis points (2100 is 21 %). **Times** are RFC 3339 in UTC.

**Writing twice is safe** with an `Idempotency-Key` header: the same key and body get the first answer again; the same key \
with another body is a 409. A key is remembered for at least 90 days after its first answer (the installation may set \
another time, `NERVIO_RETENTION__ANSWERS_DAYS`); what was sent longer ago, look for before you send it again.

**Errors** are problem details (RFC 9457). `kind` says what can be done: `invalid` (422, mend the request), \
`unauthenticated` (401), `forbidden` (403), `not_found` (404), `conflict` (409), `too_many` (429, wait for `Retry-After`), \
`halted` (503, somebody pressed stop; `reason` says why), `unavailable` (503, try again). `code` is stable, `field` and \
`errors` name what is wrong. Titles are Spanish where `Accept-Language` asks for it.

**Live**: `ws://…/api/tasks/live` is a WebSocket over which tasks are submitted, followed and cancelled, many over one line, with the \
same credentials; `/socket.io/` is the same over Socket.IO (`ai-query`, `ai-follow`, `ai-cancel`; `ai-response-chunk`, \
`ai-response-end`, `ai-response-error`). `proto/live.asyncapi.yaml` describes the messages.
"""

_EXAMPLES: Mapping[int, dict[str, Any]] = {
    401: {"kind": "unauthenticated", "code": "unauthenticated", "detail": "Log in first, or send a bearer token."},
    403: {"kind": "forbidden", "code": "forbidden", "detail": "This needs the permission 'stock.write'."},
    404: {"kind": "not_found", "code": "product_not_found", "detail": "There is no product 'A-1' here."},
    409: {"kind": "conflict", "code": "insufficient_stock", "detail": "There is not enough of A-1."},
    422: {
        "kind": "invalid",
        "code": "invalid_request",
        "detail": "lines[0].sku: is required; add it",
        "field": "lines[0].sku",
    },
    429: {"kind": "too_many", "code": "queue_full", "detail": "Too many writes are waiting; send this again shortly."},
    503: {"kind": "halted", "code": "halted", "detail": "Stopped: inventory does not add up", "reason": "inventory …"},
}

_DESCRIPTIONS: Mapping[int, str] = {
    401: "Nobody is logged in.",
    403: "The caller lacks a permission.",
    404: "There is no such thing for this caller.",
    409: "The state of things does not allow it.",
    413: "The body is too large.",
    422: "The request is not valid; `errors` names each field.",
    429: "Too many requests; wait for `Retry-After`.",
    503: "Stopped by somebody (`kind` halted) or not available just now.",
}

_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def describe(app: FastAPI, version: str, hot_routes: Iterable[HotRoute]) -> dict[str, Any]:
    """The OpenAPI document of the whole API."""
    document = get_openapi(
        title="Nervio", version=version, description=DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    paths: dict[str, Any] = document.setdefault("paths", {})
    for route in hot_routes:
        paths.setdefault(route.path, {})[route.method.lower()] = dict(route.openapi)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _problem_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, item in paths.items():
        for method, operation in item.items():
            if method in {"get", "post", "put", "patch", "delete"}:
                _complete(path, method, operation)
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Adds what every operation may answer, and who may call it."""
    public = bool(PUBLIC_TAGS & set(operation.get("tags", ())))
    statuses = {STATUS[Kind.INVALID], STATUS[Kind.TOO_MANY], 503}
    if not public:
        statuses |= {401, 403}
    if "{" in path:
        statuses.add(404)
    if method != "get":
        statuses |= {404, 409, 413}
    responses = operation["responses"] = {**operation.get("responses", {})}
    for status in sorted(statuses):
        present = responses.get(str(status))
        if present is None or "HTTPValidationError" in str(present):
            responses[str(status)] = _response(status)
    for status, response in responses.items():
        # A route names the model; that it travels as a problem is said here once.
        if "schemas/Problem" in str(response.get("content")):
            responses[status] = {**_response(int(status)), "description": response["description"]}
    if not public and "security" not in operation:
        operation["security"] = [{"bearer": []}, {"api_key": []}]
    operation.setdefault("operationId", re.sub(r"\W+", "_", f"{method}_{path}").strip("_"))


def _problem_schema() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["properties"]["request_id"] = {
        "type": ["string", "null"],
        "description": "The same as in X-Request-ID and in the log.",
    }
    schema["properties"]["instance"] = {"type": "string", "description": "Path of the request."}
    schema["properties"]["errors"] = {
        "type": "array",
        "description": "Every field that is wrong.",
        "items": {
            "type": "object",
            "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            "required": ["field", "message"],
        },
    }
    return schema


def _response(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    example = _EXAMPLES.get(status)
    if example is not None:
        frame = {"type": f"urn:nervio:problem:{example['code']}", "title": "…", "status": status, "request_id": "…"}
        content["example"] = {**frame, **example}
    response: dict[str, Any] = {"description": _DESCRIPTIONS.get(status, "Refused."), "content": {MEDIA_TYPE: content}}
    if status in {429, 503}:
        response["headers"] = _RETRY_AFTER
    return response
