"""Lists of the API as lists of pages: the cursor in the address, the page before and after, and the same rows as CSV."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

from starlette.responses import Response

from nervio.db.context import Ctx
from nervio.modules.console import api
from nervio.modules.console.contracts import SavedView
from nervio.modules.console.requests import Frame, redirect
from nervio.modules.console.tables import HIDE, Choice, Column, Filter
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import JournalEntry
from nervio.web.lists import position_of
from nervio.web.pages import encode_cursor

T = TypeVar("T")

PAGE = 50
OLDEST = "oldest"

Positions = tuple[Any, ...]


@dataclass(frozen=True)
class Start:
    """Where a page begins: behind a position, before it, or (None) at the beginning of the list."""

    position: Positions | None = None
    backwards: bool = False

    def cursor(self) -> str | None:
        """How it stands in an address."""
        return None if self.position is None else encode_cursor(self.backwards, *self.position)


@dataclass(frozen=True)
class Cut(Generic[T]):
    """The rows of a page, and the cursors of its neighbours."""

    rows: Sequence[T]
    previous: str | None
    following: str | None


BEGINNING = Start()


def start_of(frame: Frame, *parts: Any) -> Start:
    """Where the page asked for begins. `parts` as `nervio.web.lists.position_of` takes them."""
    found = position_of(frame.query("cursor", 2000) or None, "bool", *parts)
    return BEGINNING if found is None else Start(found[1:], bool(found[0]))


async def page(
    start: Start, read: Callable[[Positions | None, int, bool], Awaitable[Sequence[T]]], place: Callable[[T], Positions]
) -> Cut[T]:
    """A page of a list. `read` takes (position, limit, backwards) and answers in the order of the list; `place` is where a
    row stands in it."""
    rows = await read(start.position, PAGE + 1, start.backwards)
    if start.backwards and len(rows) <= PAGE:
        # The beginning is near: the first page is whole, as it is for whoever begins there.
        start, rows = BEGINNING, await read(None, PAGE + 1, False)
    more = len(rows) > PAGE
    kept = rows[-PAGE:] if start.backwards else rows[:PAGE]
    if not kept:
        return Cut(kept, None, None)
    has_previous = more if start.backwards else start.position is not None
    has_next = start.backwards or more
    return Cut(
        kept,
        Start(place(kept[0]), backwards=True).cursor() if has_previous else None,
        Start(place(kept[-1])).cursor() if has_next else None,
    )


async def walk(
    start: Start,
    read: Callable[[Positions | None, bool], Awaitable[tuple[Sequence[T], Positions | None]]],
    place: Callable[[T], Positions],
) -> Cut[T]:
    """A page of a list whose pages may be short, even empty, and still have a neighbour.

    `read` takes (position, backwards) and answers rows in the order of the list, and where it goes on in that direction.
    """
    rows, further = await read(start.position, start.backwards)
    if start.backwards and further is None and len(rows) < PAGE:
        start = BEGINNING
        rows, further = await read(None, False)
    first, last = (place(rows[0]), place(rows[-1])) if rows else (start.position, start.position)
    if start.backwards:
        return Cut(rows, None if further is None else Start(further, backwards=True).cursor(), Start(last).cursor())
    previous = None if start.position is None else Start(first, backwards=True).cursor()
    return Cut(rows, previous, None if further is None else Start(further).cursor())


async def entries(frame: Frame, ctx: Ctx, oldest_first: bool, **wanted: str | None) -> Cut[JournalEntry]:
    """A page of journal entries, read with the rights of `ctx`."""

    async def read(position: Positions | None, limit: int, backwards: bool) -> list[JournalEntry]:
        after = None if position is None else str(position[0])
        return await ledger.list_entries(
            ctx, **wanted, after=after, limit=limit, oldest_first=oldest_first, backwards=backwards
        )

    return await page(start_of(frame, "id"), read, lambda entry: (entry.id,))


def order_filter(frame: Frame) -> Filter:
    """The choice between the newest and the oldest first. No column turns it, since none shows exactly that order: an entry
    may count from another day than it was recorded on."""
    return Filter("order", "list.newest_first", (Choice(OLDEST, frame.t("list.oldest_first")),), "list.order")


def sort_of(frame: Frame, columns: Sequence[Column]) -> tuple[str, bool]:
    """(column, whether descending) that the address sorts by; the column is empty for the list's own order."""
    given = frame.query("sort", 40)
    key = given.removeprefix("-")
    if not any(column.key == key and column.sortable for column in columns):
        return "", False
    return key, given.startswith("-")


def hidden_of(frame: Frame, columns: Sequence[Column]) -> tuple[str, ...]:
    """The columns that the address leaves out."""
    given = set(frame.request.query_params.getlist(HIDE))
    return tuple(column.key for column in columns if column.key in given and not column.fixed)


async def views_of(frame: Frame, name: str) -> tuple[SavedView, ...]:
    """The person's saved views of a list."""
    return tuple(await api.list_views(frame.ctx, name))


def view_query(text: str) -> str:
    """The query of an address, without the page and anything else that is no part of a view."""
    passing = {"cursor", "edit", "format", "csrf"}
    return urlencode([pair for pair in parse_qsl(text) if pair[0] not in passing])


def wants_csv(frame: Frame) -> bool:
    """Whether the list is asked for as a file."""
    return frame.query("format") == "csv"


def to_csv(path: str, **query: str | None) -> Response:
    """The same list from the API, whole, as CSV."""
    given = {name: value for name, value in query.items() if value}
    return redirect(f"{path}?{urlencode({**given, 'format': 'csv'})}")
