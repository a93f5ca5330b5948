"""The share of requests that fail: of a window, and of all processes of a database together."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from nervio.db import request_counts
from nervio.kernel.ids import new_id
from nervio.ports.probes import Question
from nervio.runtime.error_rate import FORGET_SECONDS, SIGN_OF_LIFE_SECONDS, CountsWriter, ErrorRate
from nervio.runtime.http.metrics import HttpMetrics, count_requests
from tests.builders import Store, a_postgres_store, a_store

WINDOW_SECONDS = 60


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgres"))])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of the test's own."""
    if request.param == "sqlite":
        async with a_store(tmp_path) as opened:
            yield opened
        return
    async with a_postgres_store(request.getfixturevalue("postgres_url")) as opened:
        yield opened


class Process:
    """What one process counts, writes down and, if it evaluates the rules, tells."""

    def __init__(self, store: Store) -> None:
        registry = CollectorRegistry()
        self.store, self.id, self.http = store, new_id(), HttpMetrics(registry)
        self.rate = ErrorRate(lambda: count_requests(registry), self.id)
        self.writer = CountsWriter(store.ctx, lambda: count_requests(registry), self.id)

    def answer(self, requests: int, errors: int) -> None:
        for n in range(requests):
            self.http.observe("GET", "/api/x", 500 if n < errors else 200, 0.01, halted=False)

    async def read(self) -> tuple[int, int]:
        """(share in basis points, requests) of the window."""
        question = Question(self.store.clock.now(), 0, window_seconds=WINDOW_SECONDS)
        (reading,) = await self.rate.read(self.store.ctx, question)
        return reading.value, reading.samples

    async def written(self) -> request_counts.Counts | None:
        return (await self.store.database.read(request_counts.read_all)).get(self.id)


async def test_it_is_that_of_the_window(store: Store) -> None:
    process, clock = Process(store), store.clock
    assert await process.read() == (0, 0)
    process.answer(100, 10)
    clock.advance(10)
    assert await process.read() == (1_000, 100)
    clock.advance(55)
    process.answer(100, 0)
    assert await process.read() == (500, 200)
    clock.advance(10)
    assert await process.read() == (0, 100)  # the bad ones are older than the window
    clock.advance(100)
    assert await process.read() == (0, 0)


async def test_what_another_process_answers_counts_as_much(store: Store) -> None:
    scheduler, web = Process(store), Process(store)
    assert await scheduler.read() == (0, 0)
    web.answer(50, 10)
    await web.writer.write()
    scheduler.answer(50, 0)
    await scheduler.writer.write()  # its own row is not added to what it knows itself
    store.clock.advance(10)
    assert await scheduler.read() == (1_000, 100)
    store.clock.advance(10)
    web.answer(100, 90)
    await web.writer.write()
    assert await scheduler.read() == (5_000, 200)
    store.clock.advance(WINDOW_SECONDS)
    assert await scheduler.read() == (0, 0)


async def test_what_was_answered_before_it_looked_first_is_of_no_window(store: Store) -> None:
    web = Process(store)
    web.answer(1_000, 1_000)
    await web.writer.write()
    scheduler = Process(store)
    assert await scheduler.read() == (0, 0)
    store.clock.advance(10)
    web.answer(10, 1)
    await web.writer.write()
    assert await scheduler.read() == (1_000, 10)


async def test_a_process_that_begins_and_one_that_is_gone_disturb_nothing(store: Store) -> None:
    scheduler, first = Process(store), Process(store)
    first.answer(10, 0)
    await first.writer.write()
    assert await scheduler.read() == (0, 0)
    store.clock.advance(10)
    second = Process(store)  # in the place of the first, which was killed
    second.answer(10, 10)
    await second.writer.write()
    assert await scheduler.read() == (10_000, 10)
    store.clock.advance(FORGET_SECONDS + 1)
    second.answer(1, 0)
    await second.writer.write()
    assert await first.written() is None
    assert await scheduler.read() == (0, 1)


async def test_a_quiet_process_writes_nothing_but_a_sign_of_life(store: Store) -> None:
    process = Process(store)
    await process.writer.write()
    assert await process.written() is None
    process.answer(3, 1)
    await process.writer.write()
    assert await process.written() == (3, 1)
    await store.database.bookkeep("count_requests", lambda c: request_counts.forget(c, store.clock.now() + 1))
    store.clock.advance(SIGN_OF_LIFE_SECONDS - 1)
    await process.writer.write()
    assert await process.written() is None
    store.clock.advance(2)
    await process.writer.write()
    assert await process.written() == (3, 1)


async def test_the_last_sums_are_written_when_it_ends(store: Store) -> None:
    process = Process(store)
    process.writer.start()
    process.answer(3, 1)
    await process.writer.stop()
    assert await process.written() == (3, 1)
