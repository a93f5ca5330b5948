"""Other people's databases, as the catalogue's sync reads them: rows of a query, and faults that say what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Cause(StrEnum):
    """Why a source gave no rows."""

    HOST_UNKNOWN = "host_unknown"
    REFUSED = "refused"
    """Nothing listens at the port."""
    NO_ANSWER = "no_answer"
    """Nothing came back in time: a firewall, or a host that is down."""
    NOT_THIS_DATABASE = "not_this_database"
    """Something else listens there."""
    TLS_REQUIRED = "tls_required"
    TLS_MISSING = "tls_missing"
    CERTIFICATE = "certificate"
    NOT_LET_IN = "not_let_in"
    """User and password are not known."""
    HOST_NOT_ALLOWED = "host_not_allowed"
    """The server lets nobody in from here, or not without another kind of login."""
    NO_DATABASE = "no_database"
    NO_RIGHTS = "no_rights"
    UNKNOWN_TABLE = "unknown_table"
    UNKNOWN_COLUMN = "unknown_column"
    AMBIGUOUS_COLUMN = "ambiguous_column"
    UNKNOWN_FUNCTION = "unknown_function"
    BAD_SQL = "bad_sql"
    BAD_VALUE = "bad_value"
    """A value in the source, or one that it was asked with, is of another type than the query needs."""
    WRITES = "writes"
    """The query would have written; the session does not let it."""
    TOO_SLOW = "too_slow"
    BUSY = "busy"
    """Too many connections, or a server that is starting or shutting down."""
    LOST = "lost"
    """The connection broke in the middle."""
    NO_FILE = "no_file"
    NOT_A_FILE_OF_IT = "not_a_file_of_it"
    """The file is there, and no database."""
    OTHER = "other"


class SourceFault(Exception):
    """A source gave no rows. `field` is the setting or the query that is to be changed, and the message names the fix; `said` is what
    the source said, for whoever knows it. With `may_pass` the same may go well later."""

    def __init__(self, cause: Cause, field: str, message: str, *, said: str = "", may_pass: bool = False) -> None:
        super().__init__(message)
        self.cause, self.field, self.said, self.may_pass = cause, field, said, may_pass


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how one is let in. `ca` is the PEM of who signs its certificate; with `tls` False nothing is encrypted."""

    host: str
    port: int
    database: str
    user: str
    password: str = ""
    tls: bool = True
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query gave: the names of the columns, and a tuple a row."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class Source(Protocol):
    """One connection to a source. Used by one caller at a time; whatever it is asked, it only reads."""

    async def ask(self, sql: str, values: Mapping[str, Any], *, seconds: float, most_rows: int) -> Rows:
        """The rows of a SELECT whose parameters are written `:nervio_name`, at most so many, within so many seconds. Raises
        SourceFault."""

    async def close(self) -> None:
        """Lets go of the connection. Never raises."""
