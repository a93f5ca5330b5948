"""Lists of the API as lists of pages: the cursor in the address, the next page, and the same rows as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from nervio.modules.console.requests import Frame, redirect
from nervio.web.lists import position_of
from nervio.web.pages import encode_cursor

T = TypeVar("T")

PAGE = 50


def position(frame: Frame, *parts: Any) -> tuple[Any, ...] | None:
    """Where the page begins; None at the beginning. `parts` as `nervio.web.lists.position_of` takes them."""
    return position_of(frame.query("cursor", 2000) or None, *parts)


def cut(rows: Sequence[T], place: Callable[[T], tuple[Any, ...]]) -> tuple[Sequence[T], str | None]:
    """A page and the cursor of the next one, from one row more than a page holds."""
    if len(rows) <= PAGE:
        return rows, None
    return rows[:PAGE], encode_cursor(*place(rows[PAGE - 1]))


def wants_csv(frame: Frame) -> bool:
    """Whether the list is asked for as a file."""
    return frame.query("format") == "csv"


def to_csv(path: str, **query: str | None) -> Response:
    """The same list from the API, whole, as CSV."""
    given = {name: value for name, value in query.items() if value}
    return redirect(f"{path}?{urlencode({**given, 'format': 'csv'})}")
