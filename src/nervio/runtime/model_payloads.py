"""Payloads of tasks that models do: their shape, checked field by field, and what they come to.

`chat` and `vision` take `{messages: [{role, content}], max_tokens?, temperature?}`, where `content` is a text or a list of
`{type: "text", text}` and `{type: "image_url", image_url: {url}}`; `embed` takes `{texts: […]}`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from nervio.ports.models import ChatRequest, EmbedRequest, Message, Picture, Role, Text
from nervio.ports.workers import Assignment, TaskFailed

MOST_MESSAGES = 1_000
MOST_TEXTS = 256
"""The vectors of so many texts, of 3,072 numbers each, still fit the largest result that is kept of a task."""
MOST_TOKENS = 1_000_000

WHOLE = "the payload"

_PICTURE = re.compile(r"data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]|https://[^\s/]")


def chat_request(assignment: Assignment, payload: Any) -> ChatRequest:
    """What a task of kind `chat` or `vision` asks. Raises TaskFailed that names the field."""
    fields = _object(payload, WHOLE, ("messages", "max_tokens", "temperature"))
    listed = _list(fields, "messages", MOST_MESSAGES)
    messages = tuple(_message(item, f"messages[{n}]") for n, item in enumerate(listed))
    if assignment.kind == "vision" and not any(message.pictures for message in messages):
        raise _wrong(
            "messages", 'needs a picture for a vision task: {"type": "image_url", "image_url": {"url": "data:…"}}'
        )
    most = fields.get("max_tokens")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_TOKENS):
        raise _wrong("max_tokens", f"must be a whole number from 1 to {MOST_TOKENS}")
    warmth = fields.get("temperature")
    if warmth is not None and (not isinstance(warmth, int | float) or isinstance(warmth, bool) or not 0 <= warmth <= 2):
        raise _wrong("temperature", "must be a number from 0 to 2")
    return ChatRequest(
        messages, _text(assignment.model, "model"), most, warmth, assignment.tenant_id, assignment.task_id
    )


def embed_request(assignment: Assignment, payload: Any) -> EmbedRequest:
    """What a task of kind `embed` asks. Raises TaskFailed that names the field."""
    texts = _list(_object(payload, WHOLE, ("texts",)), "texts", MOST_TEXTS)
    for n, text in enumerate(texts):
        if not _text(text, f"texts[{n}]").strip():
            raise _wrong(f"texts[{n}]", "must not be empty")
    return EmbedRequest(tuple(texts), _text(assignment.model, "model"), assignment.tenant_id, assignment.task_id)


def _message(item: Any, field: str) -> Message:
    fields = _object(item, field, ("role", "content"))
    roles = [role.value for role in Role]
    if fields.get("role") not in roles:
        raise _wrong(f"{field}.role", f"must be one of {', '.join(roles)}")
    content = fields.get("content")
    if isinstance(content, str):
        parts: tuple[Text | Picture, ...] = (Text(_text(content, f"{field}.content")),)
    elif isinstance(content, list):
        parts = tuple(_part(part, f"{field}.content[{n}]") for n, part in enumerate(content))
    else:
        raise _wrong(f"{field}.content", "must be a text or a list of parts")
    if not any(isinstance(part, Picture) or part.text.strip() for part in parts):
        raise _wrong(f"{field}.content", "must not be empty")
    return Message(Role(fields["role"]), parts)


def _part(part: Any, field: str) -> Text | Picture:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return Text(_text(_object(part, field, ("type", "text")).get("text"), f"{field}.text"))
    if kind == "image_url":
        image = _object(part, field, ("type", "image_url")).get("image_url")
        url = _object(image, f"{field}.image_url", ("url", "detail")).get("url")
        if not isinstance(url, str) or not _PICTURE.match(url):
            raise _wrong(f"{field}.image_url.url", "must begin with data:image/…;base64, or with https://")
        return Picture(url)
    raise _wrong(f"{field}.type", "must be text or image_url")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise _wrong(field, "must be a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _wrong(field, "holds half of a character (a lone surrogate)") from None
    return value


def _object(value: Any, field: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(field, f"must be an object with {', '.join(known)}")
    for name in value:
        if name not in known:
            raise _wrong(
                str(name) if field == WHOLE else f"{field}.{name}", f"is not known; there are {', '.join(known)}"
            )
    return value


def _list(fields: dict[str, Any], field: str, most: int) -> list[Any]:
    value = fields.get(field)
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise _wrong(field, f"must be a list of 1 to {most}")
    return value


def _wrong(field: str, what: str) -> TaskFailed:
    return TaskFailed(f"{field} {what}.", may_help=False)
