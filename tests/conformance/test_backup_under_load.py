"""Backups while every writer is busy, and backups that are killed."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nervio.db.backup import create_backup, list_backups, restore_backup, verify_backup
from nervio.kernel.ids import new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account
from nervio.modules.sales import api as sales
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.builders import NOON, Store, a_postgres_store, a_product, a_receipt, a_sale_of, a_store, assert_sound, milli
from tests.modules.db.test_backup import an_open, everything_in, url_of

BACKUP = """
import asyncio, sys
from pathlib import Path
from nervio.db.backup import create_backup
asyncio.run(create_backup(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
"""

pytestmark = pytest.mark.slow

CALLERS = 8


@asynccontextmanager
async def selling(store: Store) -> AsyncIterator[list[int]]:
    """Sells two products without pause until the block ends; the list holds the total of each ticket that was acknowledged."""
    products = [await a_product(store) for _ in range(2)]
    for product in products:
        await a_receipt(store, product, 1_000_000)
    sold: list[int] = []
    keys = new_id()
    under_way = asyncio.Event()

    async def sell(caller: int) -> None:
        for n in range(1_000_000):
            ticket = a_sale_of(*((product, 1) for product in products))
            sold.append((await sales.record_sale(store.ctx, ticket, f"{keys}-{caller}-{n}")).total)
            if len(sold) == CALLERS:
                under_way.set()
            if n % 10 == 0:
                await stock.record_document(
                    store.ctx,
                    "receipt",
                    StockDocument("MAIN", (StockLine(products[0].sku, milli(10)),)),
                    f"{keys}-{caller}-r{n}",
                )

    tasks = [asyncio.create_task(sell(caller)) for caller in range(CALLERS)]
    try:
        await asyncio.wait_for(under_way.wait(), 60)
        yield sold
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def back_up(store: Store, folder: Path, second: int) -> None:
    """In a process of its own, as the command line and the schedule do it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BACKUP, url_of(store), str(folder), str(NOON + second * 1_000_000)
    )
    assert await process.wait() == 0


async def the_backups_are_sound(store: Store, folder: Path) -> None:
    async with selling(store) as sold:
        acknowledged = []
        for second in range(2):
            acknowledged.append(len(sold))
            await back_up(store, folder, second)
        end = len(sold)
    assert end > acknowledged[-1], "sales went on during the backups"
    backups = sorted(list_backups(folder))
    assert len(backups) == 2
    for path, at_least in zip(backups, acknowledged, strict=True):
        target = f"sqlite:///{path.with_suffix('.db')}"
        await restore_backup(target, path)
        async with an_open(target, store) as restored:
            await assert_sound(restored)
            tickets, lines = await sales.count_tickets(restored.ctx)
            assert lines == 2 * tickets
            assert at_least <= tickets <= end, "everything acknowledged before the backup began is in it"
            balances = {b.account: b.amount for b in await ledger.list_balances(restored.ctx)}
            assert balances[Account.CASH] == sum(sold[:1]) * tickets
            assert sum(balances.values()) == 0
            audited = await ledger.audit(restored.ctx)
            assert audited.findings == ()
            assert audited.entries >= tickets


async def test_backups_under_saturated_writers_are_sound_on_sqlite(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await the_backups_are_sound(store, tmp_path / "backups")


@pytest.mark.services("postgres")
async def test_backups_under_saturated_writers_are_sound_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        await the_backups_are_sound(store, tmp_path / "backups")


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a matter of POSIX")
async def test_a_backup_that_is_killed_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    """Killed at random moments: what has a backup's name is whole, always."""
    dice = random.Random(7)
    folder = tmp_path / "backups"
    async with a_store(tmp_path) as store:
        async with selling(store):
            await asyncio.sleep(1)
        killed = 0
        for second in range(6):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                BACKUP,
                url_of(store),
                str(folder),
                str(NOON + second * 1_000_000),
                stderr=DEVNULL,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), dice.uniform(0.5, 3))
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            killed += await process.wait() == -signal.SIGKILL
            for path in list_backups(folder):
                verify_backup(path)
        assert killed > 0
        made = await create_backup(url_of(store), folder, NOON + 60_000_000)
        await restore_backup(f"sqlite:///{tmp_path / 'restored.db'}", made.path)
        assert await everything_in(f"sqlite:///{tmp_path / 'restored.db'}") == await everything_in(url_of(store))


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a matter of POSIX")
async def test_a_restore_that_is_killed_leaves_what_was_there(tmp_path: Path) -> None:
    dice = random.Random(11)
    async with a_store(tmp_path) as store:
        async with selling(store):
            await asyncio.sleep(1)
        made = await create_backup(url_of(store), tmp_path / "backups", NOON)
        async with selling(store):
            pass
    before = await everything_in(url_of(store))
    after = None
    for _ in range(5):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RESTORE, url_of(store), str(made.path), stderr=DEVNULL
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), dice.uniform(0.5, 2))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        now = await everything_in(url_of(store))
        if now != before:
            after = after or now
            assert now == after
            assert len(now["tickets"]) == made.manifest.tables["tickets"].rows


RESTORE = """
import asyncio, sys
from pathlib import Path
from nervio.db.backup import restore_backup
asyncio.run(restore_backup(sys.argv[1], Path(sys.argv[2]), force=True))
"""
