"""The state of a list: what is searched, filtered, sorted and shown. It lives in the URL and nowhere else.

Because the address is the state, back, reload, share, bookmarks, saved views and CSV all work from the same query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from nervio.modules.console.contracts import SavedView

HIDE = "hide"
"""Key of the columns that are left out, once for each in the address."""


@dataclass(frozen=True)
class Column:
    """A column: its sort key, the key of its heading text, whether it holds figures, whether a phone shows it, and whether
    it may be left out. Only what the store has in order is sortable."""

    key: str
    label: str
    numeric: bool = False
    sortable: bool = False
    phone: bool = True
    fixed: bool = False


@dataclass(frozen=True)
class Choice:
    """One value of a filter. ``label`` is shown as it is, so callers translate it."""

    value: str
    label: str


@dataclass(frozen=True)
class Filter:
    """A filter drawn as a select: its query key, the key of its label text, its values, and the key of what it is called
    where that is not its label."""

    key: str
    label: str
    choices: tuple[Choice, ...]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Everything the list macros need. ``total`` is None when counting would cost more than it is worth.

    ``sort`` empty means the order of the list itself, by column ``usual`` where one shows it.
    """

    path: str
    columns: tuple[Column, ...]
    name: str = ""
    """Under which its views are saved; empty for a list without views."""
    search: str = ""
    sort: str = ""
    descending: bool = False
    usual: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    views: tuple[SavedView, ...] = ()
    shown: int = 0
    total: int | None = None
    previous_cursor: str | None = None
    next_cursor: str | None = None

    def query(self, **changes: str | None) -> str:
        """Return the query string of this state with ``changes``; a change of anything but the page starts at page one."""
        state: dict[str, str | None] = {"q": self.search, **self.chosen, "sort": self.sort_value(), **changes}
        pairs = [(key, value) for key, value in state.items() if value]
        return urlencode([*pairs, *((HIDE, key) for key in self.hidden)])

    def url(self, **changes: str | None) -> str:
        """Return the address of this list with ``changes``."""
        query = self.query(**changes)
        return f"{self.path}?{query}" if query else self.path

    def sort_value(self) -> str:
        """Return the sort as it stands in the address: the column, with a minus sign when descending."""
        return f"-{self.sort}" if self.sort and self.descending else self.sort

    def sort_url(self, column: Column) -> str:
        """Return the address that sorts by ``column``, turning the direction when it is the current one."""
        turned = (self.sort or self.usual) == column.key and not self.descending
        return self.url(sort=f"-{column.key}" if turned else column.key)

    def aria_sort(self, column: Column) -> str:
        """Return the value of ``aria-sort`` for a heading."""
        if (self.sort or self.usual) != column.key:
            return "none"
        return "descending" if self.descending else "ascending"

    def shows(self, key: str) -> bool:
        """Say whether a column is drawn."""
        return key not in self.hidden

    def optional(self) -> tuple[Column, ...]:
        """Return the columns that may be left out."""
        return tuple(column for column in self.columns if not column.fixed)

    def is_narrowed(self) -> bool:
        """Say whether rows may be missing because of what is searched or chosen."""
        return bool(self.search or any(self.chosen.values()))

    def view_url(self, view: SavedView) -> str:
        """Return the address of a saved view."""
        return f"{self.path}?{view.query}" if view.query else self.path

    def seen_view(self) -> SavedView | None:
        """Return the saved view that the list is showing, if it is one."""
        query = self.query()
        return next((view for view in self.views if view.query == query), None)

    def csv_url(self) -> str:
        """Return the address of the same rows, all pages, as CSV."""
        return self.url(format="csv")
