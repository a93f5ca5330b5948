"""Stores for the suites of use cases: the same tests run on SQLite and, where there is one, on real PostgreSQL."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, Update, update

from nervio.db.tables import halts, queue_items
from nervio.modules.safety.models.actions import ad_actions
from nervio.modules.safety.models.alerts import alert_deliveries
from nervio.modules.stock import api as stock
from nervio.modules.stock.usecases.holds import LONGEST_HOLD_SECONDS
from tests import network
from tests.builders import SetClock, Store, a_postgres_url, a_store, furnished, open_postgres

# A deadline on a shared machine measures the neighbours.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgres"))]


@pytest.fixture(scope="session")
def shared_postgres(postgres_url: str) -> Iterator[str]:
    """The URL of one PostgreSQL database for all tests of the run: making one takes longer than most tests do."""
    made, done = queue.SimpleQueue[str](), threading.Event()

    async def keep() -> None:
        async with a_postgres_url(postgres_url) as url:
            made.put(url)
            await asyncio.to_thread(done.wait)

    # In a thread, so that the loops of the tests never meet this one.
    keeper = threading.Thread(target=asyncio.run, args=(keep(),))
    keeper.start()
    try:
        yield made.get(timeout=60)
    finally:
        # It is torn down with the run's last test, which may be one that opens no sockets.
        with network.allowing("loopback"):
            done.set()
            keeper.join()


@pytest.fixture(params=DATABASES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store with one tenant and its MAIN location. On PostgreSQL it is a new tenant among those of other tests."""
    if request.param == "sqlite":
        async with a_store(tmp_path) as opened:
            yield opened
        return
    clock, url = SetClock(), request.getfixturevalue("shared_postgres")
    async with open_postgres(url, clock) as database:
        opened = await furnished(database, clock, url)
        yield opened
        clock.advance(LONGEST_HOLD_SECONDS + 1)
        await stock.sweep_holds(opened.ctx)  # the next test's sweeps find only holds of its own
        # …and its workers only orders and alerts of its own.
        for table in (ad_actions, alert_deliveries):
            unsettled = update(table).where(table.c.settled_at.is_(None)).values(settled_at=clock.now())
            await database.bookkeep("prune", partial(_execute, unsettled))
        # …and dispatchers only tasks of their own.
        unended = update(queue_items).where(queue_items.c.ended_at.is_(None))
        cancelled = unended.values(state="cancelled", owner=None, ended_at=clock.now())
        await database.bookkeep("prune", partial(_execute, cancelled))
        # A stop of any tenant holds back what forgets old rows.
        ended = update(halts).where(halts.c.cleared_at.is_(None)).values(cleared_at=clock.now())
        await database.bookkeep("prune", partial(_execute, ended))


def _execute(statement: Update, connection: Connection) -> None:
    connection.execute(statement)
