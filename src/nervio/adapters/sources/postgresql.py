"""PostgreSQL as a source: a read-only session, bounded on the server too, and what its errors mean."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import asyncpg
from asyncpg import exceptions as pg

from nervio.adapters.sources.faults import fault_of, network_fault, trusting
from nervio.adapters.sources.parameters import numbered
from nervio.ports.sources import Address, Cause, Rows, SourceFault

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 2.0

# The most particular first: classes of errors inherit from each other.
_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (pg.InvalidPasswordError, Cause.NOT_LET_IN),
    (pg.InvalidCatalogNameError, Cause.NO_DATABASE),
    (pg.InsufficientPrivilegeError, Cause.NO_RIGHTS),
    (pg.UndefinedTableError, Cause.UNKNOWN_TABLE),
    (pg.InvalidSchemaNameError, Cause.UNKNOWN_TABLE),
    (pg.UndefinedColumnError, Cause.UNKNOWN_COLUMN),
    (pg.AmbiguousColumnError, Cause.AMBIGUOUS_COLUMN),
    (pg.UndefinedFunctionError, Cause.UNKNOWN_FUNCTION),
    (pg.ReadOnlySQLTransactionError, Cause.WRITES),
    (pg.QueryCanceledError, Cause.TOO_SLOW),
    (pg.TooManyConnectionsError, Cause.BUSY),
    (pg.CannotConnectNowError, Cause.BUSY),
    (pg.AdminShutdownError, Cause.LOST),
    (pg.CrashShutdownError, Cause.LOST),
    (pg.DataError, Cause.BAD_VALUE),
    (pg.SyntaxOrAccessError, Cause.BAD_SQL),
    (pg.ConnectionDoesNotExistError, Cause.LOST),
    (pg.InterfaceError, Cause.LOST),
)


class PostgreSQLSource:
    """See `nervio.ports.sources.Source`. Connects when it is first asked, and again after it was lost."""

    def __init__(self, address: Address, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self._address, self._connect_seconds = address, connect_seconds
        self._connection: asyncpg.Connection[Any] | None = None

    async def ask(self, sql: str, values: Mapping[str, Any], *, seconds: float, most_rows: int) -> Rows:
        """See `Source`."""
        written, arguments = numbered(sql, values)
        connection = await self._connected()
        try:
            async with asyncio.timeout(seconds + CLOSE_SECONDS), connection.transaction(readonly=True):
                await connection.execute(f"SET LOCAL statement_timeout = {max(int(1000 * seconds), 1)}")
                statement = await connection.prepare(written)
                columns = tuple(one.name for one in statement.get_attributes())
                cursor = await statement.cursor(*arguments)
                rows = [tuple(record) for record in await cursor.fetch(most_rows)]
        except TimeoutError:
            await self.close()
            raise fault_of(Cause.TOO_SLOW) from None
        except (pg.PostgresError, pg.InterfaceError, OSError) as error:
            if connection.is_closed() or isinstance(error, OSError):
                await self.close()
                raise fault_of(Cause.LOST, said=str(error)) from None
            raise _meaning(error) from None
        return Rows(columns, rows)

    async def close(self) -> None:
        """See `Source`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=CLOSE_SECONDS)

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        at = self._address
        context = trusting(at) if at.tls else False
        try:
            async with asyncio.timeout(self._connect_seconds):
                self._connection = await asyncpg.connect(
                    host=at.host, port=at.port, user=at.user, password=at.password or None, database=at.database,
                    ssl=context, timeout=self._connect_seconds, statement_cache_size=0,
                    server_settings={"application_name": "nervio", "default_transaction_read_only": "on"},
                )  # fmt: skip
        except (pg.ConnectionDoesNotExistError, pg.InterfaceError, pg.InternalClientError) as error:
            # Closed while both sides were still greeting each other.
            raise fault_of(Cause.NOT_THIS_DATABASE, said=str(error)) from None
        except pg.PostgresError as error:
            raise _meaning(error) from None
        except (OSError, UnicodeError) as error:
            if "rejected SSL upgrade" in str(error):
                raise fault_of(Cause.TLS_MISSING, said=str(error)) from None
            raise network_fault(error) from None
        return self._connection


def _meaning(error: BaseException) -> SourceFault:
    said = str(error)
    if isinstance(error, pg.InvalidAuthorizationSpecificationError):
        if "no encryption" in said or "SSL off" in said:
            return fault_of(Cause.TLS_REQUIRED, said=said)
        return fault_of(Cause.HOST_NOT_ALLOWED if "pg_hba.conf" in said else Cause.NOT_LET_IN, said=said)
    cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.OTHER)
    return fault_of(cause, said=said)
