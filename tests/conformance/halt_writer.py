"""A writer process for the proofs of the stop. Speaks JSON lines.

    python -m tests.conformance.halt_writer saturate ADDRESS TENANT SKU CALLERS
    python -m tests.conformance.halt_writer suspend ADDRESS TENANT SKU

`saturate` writes as fast as it can, refused or not, until its standard input closes, then tells what it counted.
`suspend` stops its own process (SIGSTOP) in the middle of a write transaction, and when it is continued tells how the
write ended.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import Connection, func, select

import nervio.modules.catalog.models
import nervio.modules.ledger.models
import nervio.modules.sales.models
import nervio.modules.stock.models  # noqa: F401
from nervio.adapters.clock import SystemClock
from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.sqlite import SQLiteDatabase
from nervio.db.tables import commits
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine

AnyDatabase = SQLiteDatabase | PostgreSQLDatabase


def database_at(address: str) -> AnyDatabase:
    """The database of a URL of PostgreSQL, or of a path; made and not started."""
    if "://" in address:
        return PostgreSQLDatabase(address, SystemClock(), 10_000)
    return SQLiteDatabase(Path(address), SystemClock(), 10_000)


def issue(sku: str) -> StockDocument:
    """The smallest write there is."""
    return StockDocument("MAIN", (StockLine(sku, 1),))


async def saturate(ctx: Ctx, sku: str, callers: int, done: asyncio.Event, seen: Counter[str]) -> None:
    """Writes with as many callers until `done`, counting what came of it."""

    async def call() -> None:
        while not done.is_set():
            try:
                await stock.record_document(ctx, "issue", issue(sku))
                seen["committed"] += 1
            except NervioError as refusal:
                if refusal.kind is not Kind.HALTED:
                    raise
                seen["halted"] += 1
                await asyncio.sleep(0.01)

    await asyncio.gather(*(call() for _ in range(callers)))


SETTLE_SECONDS = 0.5
"""The signal may reach another thread first, and this one would commit before all of them are suspended."""


def suspending(ctx: Ctx, sku: str) -> Command[str, object]:
    """A command that suspends its own process while its transaction is open and has written."""

    def decide(batch: Batch, command: Command[str, object]) -> object:
        batch.connection.execute(select(func.count()).select_from(commits))
        say({"suspended": os.getpid()})
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(SETTLE_SECONDS)
        return "written"

    operation = Operation("stock.suspend", Effect.INCREASE, str, object, decide, direct=True)
    return Command(operation, ctx.tenant_id, ctx.actor_id, None, sku)


def say(message: dict[str, object]) -> None:
    """One line to whoever started this."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def count_commits(connection: Connection) -> int:
    """How many write transactions have committed."""
    return connection.execute(select(func.count()).select_from(commits)).scalar_one()


async def main(mode: str, address: str, tenant_id: str, sku: str, callers: int = 1) -> None:
    """Runs one mode."""
    database = database_at(address)
    await database.start()
    ctx = Ctx(tenant_id, f"writer-{os.getpid()}", database, SystemClock())
    try:
        if mode == "suspend":
            try:
                say({"outcome": await database.submit(suspending(ctx, sku))})
            except NervioError as refusal:
                say({"outcome": refusal.kind.value})
            return
        done, seen = asyncio.Event(), Counter[str]()
        work = asyncio.create_task(saturate(ctx, sku, callers, done, seen))
        await stock.record_document(ctx, "issue", issue(sku))
        say({"writing": os.getpid()})
        await asyncio.to_thread(sys.stdin.read)
        done.set()
        await work
        say(dict(seen))
    finally:
        await database.close()


if __name__ == "__main__":
    mode, address, tenant, sku = sys.argv[1:5]
    asyncio.run(main(mode, address, tenant, sku, int(sys.argv[5]) if len(sys.argv) > 5 else 1))
