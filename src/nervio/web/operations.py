"""OpenAPI of hot routes: what FastAPI would have said, from the structs they decode and encode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nervio.kernel.errors import Kind
from nervio.web.problems import MEDIA_TYPE, STATUS, TITLES
from nervio.web.request import LONGEST_KEY

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Send the same key again after a lost answer: the write happens once, the answer is the same. "
    "Remembered for at least 90 days, or what NERVIO_RETENTION__ANSWERS_DAYS says.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
}


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of what msgspec decodes or encodes for a type, complete in itself. Not for types that recur."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    inlined = _inlined(schema, components)
    assert isinstance(inlined, dict)
    return inlined


def operation(
    *,
    operation_id: str,
    tag: str,
    summary: str,
    description: str,
    permission: str,
    body: Mapping[str, Any],
    examples: Mapping[str, Any],
    answers: Mapping[int, tuple[str, Mapping[str, Any]]],
    refusals: tuple[Kind, ...],
) -> dict[str, Any]:
    """The operation object of a route that takes a JSON body and an idempotency key. `body` and `answers` hold schemas;
    `answers`: status → (description, schema)."""
    every = (Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.TOO_MANY, Kind.UNAVAILABLE)
    responses: dict[str, Any] = {
        str(status): {"description": text, "content": {"application/json": {"schema": schema}}}
        for status, (text, schema) in answers.items()
    }
    for kind in (*every, *refusals):
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        responses[str(STATUS[kind])] = {"description": TITLES[kind], "content": content}
    named = {name: {"value": value} for name, value in examples.items()}
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        "description": description,
        "x-permission": permission,
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "examples": named}}},
        "responses": responses,
    }


def _inlined(node: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(part, components) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(components[node["$ref"]], components)
    # The discriminator of a union names its parts by reference; each part already pins its own tag.
    return {name: _inlined(part, components) for name, part in node.items() if name != "discriminator"}
