"""What a route reads off a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header, Query
from starlette.requests import HTTPConnection, Request

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError, invalid

LONGEST_KEY = 200


Recall = Callable[[], Awaitable[Ctx | None]]
"""Asks again who somebody is whose request goes on and on: the context with the rights of this moment, None or `unauthenticated`
once the session has ended."""


def recall_of(connection: HTTPConnection) -> Recall:
    """What the authentication middleware left for requests that stay open."""
    recall: Recall = connection.state.recall
    return recall


def context_of(request: Request) -> Ctx:
    """The caller's context, which the authentication middleware put there. Raises `unauthenticated` without one."""
    return caller_of(request)


def caller_of(connection: HTTPConnection) -> Ctx:
    """The same, of a line that stays open. Raises `unauthenticated`."""
    context = getattr(connection.state, "ctx", None)
    if not isinstance(context, Ctx):
        raise NervioError(
            Kind.UNAUTHENTICATED,
            "unauthenticated",
            "Log in first, or send a bearer token or an X-API-Key header.",
        )
    return context


def idempotency_key_of(request: Request) -> str | None:
    """The `Idempotency-Key` header, checked; None when it was not sent."""
    return check_key(request.headers.get("idempotency-key"))


def check_key(key: str | None) -> str | None:
    """An idempotency key of 1 to 200 printable characters, or None."""
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise invalid(
            "invalid_idempotency_key",
            f"Idempotency-Key must be 1 to {LONGEST_KEY} printable characters.",
            field="Idempotency-Key",
        )
    return key


def _header_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Send the same key again after a lost answer: the write happens once, the answer is the same.",
            max_length=LONGEST_KEY,
        ),
    ] = None,
) -> str | None:
    return check_key(idempotency_key)


CurrentCtx = Annotated[Ctx, Depends(context_of)]
"""Parameter type of a route that needs the caller's context."""

IdempotencyKey = Annotated[str | None, Depends(_header_key)]
"""Parameter type of a route that writes."""

Limit = Annotated[int, Query(ge=1, le=500, description="How many entries a page holds at most.")]
"""Parameter type of a list's page size."""

Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before; leave out for the first.")
]
"""Parameter type of a list's position."""
