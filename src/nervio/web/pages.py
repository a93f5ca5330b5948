"""Lists come in pages: items and the cursor of the next page."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from nervio.kernel.errors import invalid

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list. `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = Field(None, description="Pass as `cursor` to get the next page.")


def encode_cursor(*position: Any) -> str:
    """An opaque cursor for a position made of strings and integers."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """The position a cursor stands for, each part of the type given. Raises `invalid` for anything else."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        position = None
    if (
        not isinstance(position, list)
        or len(position) != len(types)
        or any(type(part) is not wanted for part, wanted in zip(position, types, strict=True))
        or any(isinstance(part, str) and not _is_storable(part) for part in position)
    ):
        raise invalid("invalid_cursor", "cursor must be the next_cursor of the page before.", field="cursor")
    return tuple(position)


def _is_storable(text: str) -> bool:
    """Whether a database can be asked about a text: PostgreSQL knows no NUL, and half of a surrogate pair is no character."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
