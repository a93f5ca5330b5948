"""Set-wise writes: what a batch collects in memory and flushes in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

Row = tuple[Any, ...]


@dataclass(slots=True, frozen=True)
class Insert:
    """Rows to add; each row gives the named columns in order. With `may_race` another transaction may be adding the same
    rows just now: then nothing is written and `KeysRaced` asks for the whole transaction to be run again."""

    table: Table
    columns: tuple[str, ...]
    rows: Sequence[Row]
    may_race: bool = False


@dataclass(slots=True, frozen=True)
class Update:
    """Rows to change; each row gives the key columns, then the columns to set."""

    table: Table
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[Row]


Write = Insert | Update


class RunAgain(Exception):
    """The whole transaction is to be undone and run again."""


class KeysRaced(RunAgain):
    """Another transaction committed one of the same idempotency keys first; run again, its answer is there now."""


class LockedTooFew(RunAgain):
    """More rows turned out to be needed after others were locked; run again, they are known and all locked in order."""


class RowsFirst(RunAgain):
    """Rows would be made after others were locked, against the one order of locks; run again, they are made first."""
