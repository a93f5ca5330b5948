"""A process that writes as fast as it may, and says when it stops. Speaks JSON lines.

    python -m bench.halt.writer ADDRESS TENANT SKU [FLAG_URL FLAG_TOKEN REFRESH_SECONDS]

Without a flag it writes and is refused by the fence; with one it asks `client.is_enabled` before each write. Times are of the
monotonic clock, which all processes of a machine share.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import nervio.modules.catalog.models
import nervio.modules.ledger.models
import nervio.modules.sales.models
import nervio.modules.stock.models  # noqa: F401
from nervio.adapters.clock import SystemClock
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety.api import HaltWatch
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine

FLAG = "writes"
CALLERS = 8
REFUSED_SECONDS = 0.002
LOOK_SECONDS = 0.002


def say(**message: object) -> None:
    """One line to whoever started this."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def flag_of(url: str, token: str, refresh_seconds: int) -> Callable[[], bool]:
    """The question that the peer's client answers from what it last fetched."""
    # Installed at bench time, and not known to whoever checks types.
    client = import_module("UnleashClient").UnleashClient(
        url=url,
        app_name="bench",
        instance_id=str(os.getpid()),
        environment="development",
        refresh_interval=refresh_seconds,
        disable_metrics=True,
        disable_registration=True,
        custom_headers={"Authorization": token},
        cache_directory=tempfile.mkdtemp(prefix="nervio-bench-flags-"),
    )
    client.initialize_client()
    return lambda: bool(client.is_enabled(FLAG))


class Writer:
    """What this process does and last told."""

    def __init__(self, ctx: Ctx, sku: str, is_on: Callable[[], bool] | None, watch: HaltWatch) -> None:
        self.ctx, self.sku, self.is_on, self.watch = ctx, sku, is_on, watch
        self.told = ""
        self.blocked = False
        self.ended = False

    def tell(self, state: str) -> None:
        """Says that the state changed."""
        if state != self.told:
            self.told = state
            say(state=state, at=time.monotonic())

    async def call(self) -> None:
        """One caller."""
        document = StockDocument("MAIN", (StockLine(self.sku, 1),))
        while not self.ended:
            if self.is_on is not None and not self.is_on():
                self.tell("refusing")
                await asyncio.sleep(REFUSED_SECONDS)
                continue
            try:
                await stock.record_document(self.ctx, "issue", document)
                self.tell("writing")
            except NervioError as refusal:
                if refusal.kind is Kind.HALTED:
                    self.tell("refusing")
                elif refusal.kind is not Kind.UNAVAILABLE:
                    raise
                await asyncio.sleep(REFUSED_SECONDS)

    async def look(self) -> None:
        """Says when reads and effects outside count as stopped, which nobody can commit to a lost store to find out."""
        while not self.ended:
            blocked = self.watch.find_blocking_read(self.ctx.tenant_id) is not None
            if blocked != self.blocked:
                self.blocked = blocked
                say(blocked=blocked, at=time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)


async def main(address: str, tenant_id: str, sku: str, flag: list[str]) -> None:
    """Writes until the standard input closes."""
    clock = SystemClock()
    is_on = None if not flag else await asyncio.to_thread(flag_of, flag[0], flag[1], int(flag[2]))
    database = PostgreSQLDatabase(address, clock, 10_000)
    await database.start()
    watch = HaltWatch(database, clock)
    await watch.start()
    writer = Writer(Ctx(tenant_id, f"writer-{os.getpid()}", database, clock), sku, is_on, watch)
    work: list[asyncio.Task[Any]] = [asyncio.create_task(writer.call()) for _ in range(CALLERS)]
    work.append(asyncio.create_task(writer.look()))
    await asyncio.to_thread(sys.stdin.read)
    writer.ended = True
    # Whatever the store does by now: the figures are taken.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
