"""The state of a list: what is searched, filtered, sorted and shown. It lives in the URL and nowhere else.

Because the address is the state, back, reload, share, bookmarks and CSV all work from the same query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode


@dataclass(frozen=True)
class Column:
    """A column: its sort key, the key of its heading text, whether it holds figures and whether a phone shows it."""

    key: str
    label: str
    numeric: bool = False
    sortable: bool = True
    phone: bool = True


@dataclass(frozen=True)
class Choice:
    """One value of a filter. ``label`` is shown as it is, so callers translate it."""

    value: str
    label: str


@dataclass(frozen=True)
class Filter:
    """A filter drawn as a select: its query key, the key of its label text and its values."""

    key: str
    label: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Table:
    """Everything the list macros need. ``total`` is None when counting would cost more than it is worth."""

    path: str
    columns: tuple[Column, ...]
    search: str = ""
    sort: str = ""
    descending: bool = False
    chosen: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[Filter, ...] = ()
    shown: int = 0
    total: int | None = None
    previous_cursor: str | None = None
    next_cursor: str | None = None

    def query(self, **changes: str | None) -> str:
        """Return the query string of this state with ``changes``; a change of anything but the page starts at page one."""
        state: dict[str, str | None] = {"q": self.search, **self.chosen, "sort": self.sort_value(), **changes}
        return urlencode({key: value for key, value in state.items() if value})

    def url(self, **changes: str | None) -> str:
        """Return the address of this list with ``changes``."""
        query = self.query(**changes)
        return f"{self.path}?{query}" if query else self.path

    def sort_value(self) -> str:
        """Return the sort as it stands in the address: the column, with a minus sign when descending."""
        return f"-{self.sort}" if self.sort and self.descending else self.sort

    def sort_url(self, column: Column) -> str:
        """Return the address that sorts by ``column``, turning the direction when it is the current one."""
        turned = self.sort == column.key and not self.descending
        return self.url(sort=f"-{column.key}" if turned else column.key)

    def aria_sort(self, column: Column) -> str:
        """Return the value of ``aria-sort`` for a heading."""
        if self.sort != column.key:
            return "none"
        return "descending" if self.descending else "ascending"

    def csv_url(self) -> str:
        """Return the address of the same rows, all pages, as CSV."""
        return self.url(format="csv")
