"""Lists: what every list is asked with, how a page finds the next, and the whole list as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nervio.kernel.errors import invalid
from nervio.kernel.ids import is_id
from nervio.web.pages import Page, decode_cursor, encode_cursor

T = TypeVar("T")
S = TypeVar("S")

LONGEST_PAGE = 500


class ListQuery(BaseModel):
    """The query every list takes. Unknown parameters are refused: a filter that is misspelt must not list everything."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=LONGEST_PAGE, description="How many entries a page holds at most.")
    cursor: str | None = Field(
        None,
        max_length=2000,
        pattern=r"^[A-Za-z0-9_=-]*$",
        description="`next_cursor` of the page before; leave out for the first.",
    )


class ExportQuery(ListQuery):
    """A list that can also be had whole, as CSV."""

    format: Literal["json", "csv"] | None = Field(
        None,
        description="`csv` answers everything the filters leave, as does `Accept: text/csv`; `limit` is not used then.",
    )


class Figure(str):
    """A number written by us. Goes into CSV as it is, where text that looks like a formula is disarmed."""

    __slots__ = ()


Cell = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Sheet(Generic[T]):
    """How a list looks as CSV: the file's name, its columns, and the rows of one entry."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[T], Iterable[Sequence[Cell]]]


CSV_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or with `format=csv` the whole list.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}
"""Part of `responses=` of a route that answers with `listed`."""


def page_of(
    found: Sequence[S], limit: int, shown: Callable[[S], T], position: Callable[[S], Sequence[object]]
) -> Page[T]:
    """A page of at most `limit` of the rows found. Ask the store for `limit + 1`, so that the last page is known as such.

    `position`: where the next page goes on after a row. Stores give 500 rows at most; a full page of 500 may therefore
    be followed by an empty one.
    """
    kept = found[:limit]
    more = len(found) > limit or len(found) >= LONGEST_PAGE
    cursor = encode_cursor(*position(kept[-1])) if more and kept else None
    return Page(items=[shown(row) for row in kept], next_cursor=cursor)


def position_of(cursor: str | None, *kinds: Literal["text", "id", "int", "bool"]) -> tuple[Any, ...] | None:
    """The position a cursor stands for, fit to be compared with columns of these kinds; None for no cursor."""
    if cursor is None:
        return None
    types = {"text": str, "id": str, "int": int, "bool": bool}
    position = decode_cursor(cursor, *(types[kind] for kind in kinds))
    for part, kind in zip(position, kinds, strict=True):
        if (kind == "id" and not is_id(part)) or (kind == "int" and not -(2**63) <= part < 2**63):
            raise invalid("invalid_cursor", "cursor must be the next_cursor of the page before.", field="cursor")
    return position


def wants_csv(request: Request, query: ExportQuery) -> bool:
    """Whether the whole list is asked for as CSV."""
    return query.format == "csv" or (query.format != "json" and "text/csv" in request.headers.get("accept", ""))


async def listed(
    request: Request, query: ExportQuery, sheet: Sheet[T], read: Callable[[str | None, int], Awaitable[Page[T]]]
) -> Page[T] | Response:
    """A page as JSON, or everything from the cursor on as CSV. `read` takes (cursor, limit)."""
    if not wants_csv(request, query):
        return await read(query.cursor, query.limit)
    # The first page is read before the answer begins, so that a refusal is still a refusal.
    first = await read(query.cursor, LONGEST_PAGE)
    return StreamingResponse(
        _lines(sheet, first, read),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{sheet.name}.csv"'},
    )


async def _lines(
    sheet: Sheet[T], page: Page[T], read: Callable[[str | None, int], Awaitable[Page[T]]]
) -> AsyncIterator[str]:
    yield _written([sheet.columns])
    while True:
        yield _written(row for item in page.items for row in sheet.rows(item))
        if page.next_cursor is None:
            return
        page = await read(page.next_cursor, LONGEST_PAGE)


def _written(rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([disarmed(cell) for cell in row] for row in rows)
    return text.getvalue()


def disarmed(cell: Cell) -> Cell:
    """Text that a spreadsheet would run as a formula, with an apostrophe before it (OWASP, CSV injection)."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if not isinstance(cell, str) or isinstance(cell, Figure):
        return cell
    runs = cell[:1] in {"\t", "\r", "\n"} or cell.lstrip()[:1] in {"=", "+", "-", "@", "＝", "＋", "－", "＠"}
    return "'" + cell if runs else cell
