"""MySQL and MariaDB as a source: a read-only transaction, bounded on the server too, and what their errors mean.

PyMySQL blocks, so each source has a thread of its own; a question that is not answered in time loses its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from nervio.adapters.sources.faults import fault_of, network_fault, trusting
from nervio.adapters.sources.parameters import formatted
from nervio.ports.sources import Address, Cause, Rows, SourceFault

CONNECT_SECONDS = 10.0
SLACK_SECONDS = 2.0
"""How much later than the server the client gives up."""

_CAUSES = {
    ER.ACCESS_DENIED_ERROR: Cause.NOT_LET_IN,
    1698: Cause.NOT_LET_IN,  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
    ER.DBACCESS_DENIED_ERROR: Cause.NO_RIGHTS,
    ER.TABLEACCESS_DENIED_ERROR: Cause.NO_RIGHTS,
    ER.COLUMNACCESS_DENIED_ERROR: Cause.NO_RIGHTS,
    ER.SPECIFIC_ACCESS_DENIED_ERROR: Cause.NO_RIGHTS,
    ER.BAD_DB_ERROR: Cause.NO_DATABASE,
    ER.NO_SUCH_TABLE: Cause.UNKNOWN_TABLE,
    ER.BAD_FIELD_ERROR: Cause.UNKNOWN_COLUMN,
    ER.NON_UNIQ_ERROR: Cause.AMBIGUOUS_COLUMN,
    ER.SP_DOES_NOT_EXIST: Cause.UNKNOWN_FUNCTION,
    1630: Cause.UNKNOWN_FUNCTION,  # ER_FUNC_INEXISTENT_NAME_COLLISION
    ER.PARSE_ERROR: Cause.BAD_SQL,
    1292: Cause.BAD_VALUE,  # ER_TRUNCATED_WRONG_VALUE
    1792: Cause.WRITES,  # ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    ER.CON_COUNT_ERROR: Cause.BUSY,
    ER.SERVER_SHUTDOWN: Cause.BUSY,
    ER.HOST_NOT_PRIVILEGED: Cause.HOST_NOT_ALLOWED,
    ER.HOST_IS_BLOCKED: Cause.HOST_NOT_ALLOWED,
    ER.QUERY_INTERRUPTED: Cause.TOO_SLOW,
    1969: Cause.TOO_SLOW,  # ER_STATEMENT_TIMEOUT of MariaDB
    3024: Cause.TOO_SLOW,  # ER_QUERY_TIMEOUT of MySQL
    3159: Cause.TLS_REQUIRED,  # ER_SECURE_TRANSPORT_REQUIRED
    CR.CR_SSL_CONNECTION_ERROR: Cause.TLS_MISSING,
    CR.CR_SERVER_LOST: Cause.LOST,
    CR.CR_SERVER_GONE_ERROR: Cause.LOST,
    CR.CR_VERSION_ERROR: Cause.NOT_THIS_DATABASE,
}


class MySQLSource:
    """See `nervio.ports.sources.Source`. Connects when it is first asked, and again after it was lost."""

    def __init__(self, address: Address, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._address, self._connect_seconds = address, connect_seconds
        self._connection: pymysql.Connection[Any] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nervio-source")

    async def ask(self, sql: str, values: Mapping[str, Any], *, seconds: float, most_rows: int) -> Rows:
        """See `Source`."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, sql, values, seconds, most_rows)
        try:
            async with asyncio.timeout(self._connect_seconds + seconds + 2 * SLACK_SECONDS):
                return await asyncio.shield(work)
        except TimeoutError:
            self._cut()
            raise fault_of(Cause.TOO_SLOW) from None

    async def close(self) -> None:
        """See `Source`."""
        self._cut()
        self._thread.shutdown(wait=False)

    def _ask(self, sql: str, values: Mapping[str, Any], seconds: float, most_rows: int) -> Rows:
        connection = self._connected()
        try:
            with connection.cursor() as cursor:
                self._bound(connection, cursor, seconds)
                # For a query without a limit of its own: an answer is in memory before its first row is looked at.
                cursor.execute(f"SET SESSION sql_select_limit = {most_rows}")
                cursor.execute(formatted(sql), dict(values))
                columns = tuple(column[0] for column in cursor.description or ())
                rows = [tuple(row) for row in cursor.fetchmany(most_rows)]
            connection.rollback()
        except (pymysql.Error, OSError) as error:
            self._cut()
            raise _meaning(error) from None
        return Rows(columns, rows)

    @staticmethod
    def _bound(connection: Any, cursor: Any, seconds: float) -> None:
        # What is not answered long after the server should have stopped it is not waited for; the driver has no public way to say it.
        connection._read_timeout = seconds + SLACK_SECONDS  # noqa: SLF001
        # Of the session: a read-only transaction alone would end by itself before a CREATE TABLE.
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        if "MariaDB" in connection.server_version:
            cursor.execute(f"SET SESSION max_statement_time = {max(seconds, 0.001):.3f}")
        else:
            cursor.execute(f"SET SESSION max_execution_time = {max(int(1000 * seconds), 1)}")

    def _connected(self) -> pymysql.Connection[Any]:
        if self._connection is not None and self._connection.open:
            return self._connection
        at = self._address
        context = trusting(at) if at.tls else None
        try:
            self._connection = pymysql.connect(
                host=at.host, port=at.port, user=at.user, password=at.password, database=at.database, charset="utf8mb4",
                connect_timeout=self._connect_seconds, read_timeout=self._connect_seconds, ssl=context, ssl_disabled=not at.tls,
                program_name="nervio", local_infile=False,
            )  # fmt: skip
        except (pymysql.Error, OSError, UnicodeError) as error:
            meaning = _meaning(error)
            if meaning.cause is Cause.LOST:  # closed while both sides were still greeting each other
                meaning = fault_of(Cause.NOT_THIS_DATABASE, said=meaning.said)
            raise meaning from None
        return self._connection

    def _cut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def _meaning(error: BaseException) -> SourceFault:
    # PyMySQL wraps what the network said.
    inner = (
        error if isinstance(error, UnicodeError) else getattr(error, "original_exception", None) or error.__context__
    )
    if isinstance(inner, OSError | UnicodeError):
        return network_fault(inner)
    if isinstance(error, pymysql.InternalError) and "Packet sequence" in str(error):
        return fault_of(Cause.NOT_THIS_DATABASE, said=str(error))
    number, said = (error.args[0], str(error.args[-1])) if error.args else (0, str(error))
    cause = _CAUSES.get(number, Cause.OTHER) if isinstance(number, int) else Cause.OTHER
    return fault_of(cause, said=said)
