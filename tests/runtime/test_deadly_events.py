"""An event that kills its process ends among the dead letters, and the others are handled."""

import asyncio
import multiprocessing
import secrets
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from nervio.adapters.bus.memory import MemoryBus
from nervio.db import dead_letters, outbox
from nervio.db.tables import event_attempts, event_handlers
from nervio.events.sales import SALE_RECORDED
from tests import services
from tests.builders import SetClock, a_sale, a_sqlite_database, a_store
from tests.conformance.buses import remove
from tests.runtime import deadly
from tests.runtime.deadly import ATTEMPTS, DEAD, Job

SALES = 12
STARTS = 12
PATIENCE_SECONDS = 60.0

# One that is forked from a process that has imported everything is at work within a tenth of a second.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.runtime.deadly"])


async def supervise(job: Job) -> list[int | None]:
    """Starts it again whenever it died; the exit codes."""
    codes: list[int | None] = []
    while len(codes) < STARTS and (not codes or codes[-1] == DEAD):
        process = _processes.Process(target=deadly.live, args=(job,))
        process.start()
        await asyncio.to_thread(process.join, PATIENCE_SECONDS)
        codes.append(process.exitcode)
        if process.exitcode is None:
            process.kill()
            process.join()
    return codes


def left(connection: Connection) -> tuple[int, str | None]:
    """How many attempts are still noted, and who is noted as working."""
    noted = connection.execute(select(func.count()).select_from(event_attempts)).scalar_one()
    return noted, connection.execute(select(event_handlers.c.taken_by)).scalar()


@pytest.mark.parametrize(
    "kind",
    [
        "memory",
        pytest.param("redis", marks=pytest.mark.services("redis")),
        pytest.param("nats", marks=pytest.mark.services("nats")),
    ],
)
async def test_an_event_that_kills_its_process_becomes_a_letter_and_the_others_are_handled(
    tmp_path: Path, kind: str
) -> None:
    async with a_store(tmp_path) as store:
        first = deadly.make_handlers(store.database, MemoryBus(), 0)  # handlers begin where they are first run
        await first.run_once()
        await first.close()
        for _ in range(SALES):
            await a_sale(store)
        events = await store.database.read(lambda c: outbox.read_after(c, 0, 0, 1000, types=[SALE_RECORDED]))
    url = "" if kind == "memory" else services.url(kind)
    job = Job(tmp_path / "nervio.db", url, f"nervio_test_{secrets.token_hex(6)}", events[4].position, SALES)
    try:
        codes = await supervise(job)
        async with a_sqlite_database(job.path, SetClock()) as database:
            (letter,) = await database.read(lambda c: dead_letters.list_letters(c, None))
            assert await database.read(left) == (0, None)
            tenant_id, id_ = letter.event.tenant_id, letter.id
            await database.bookkeep("handlers", lambda c: dead_letters.ask_again(c, tenant_id, id_, "ana"))
        again = await supervise(job)
    finally:
        await remove(kind, job.bus_name)
    # Once by surprise, once noted beside others, then alone.
    assert codes == [DEAD] * (2 + ATTEMPTS) + [0]
    # An acknowledgement may be lost with the process, and then the event comes once more by itself as well.
    assert again[: 1 + ATTEMPTS] == [DEAD] * (1 + ATTEMPTS), "somebody asked for it again"
    assert again[-1] == 0, "and it is a letter again"
    async with a_sqlite_database(job.path, SetClock()) as database:
        (letter,) = await database.read(lambda c: dead_letters.list_letters(c, None))
        assert (letter.event.id, letter.handler) == (events[4].id, deadly.NAME)
        assert letter.attempts >= 2 * ATTEMPTS
        assert letter.reason == "ProcessDied: the process ended each time that it was tried alone, 2 times"
        assert await database.read(deadly.count_effects) == SALES - 1
