"""What becomes of a batch whose connection is refused the fence, or goes away between two halves."""

import asyncio
from typing import Any

import asyncpg
import pytest

from nervio.db import postgresql
from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.dialects import FENCE_KEY
from nervio.kernel.errors import Kind, NervioError
from tests.builders import Store, a_postgres_store
from tests.modules.db.deeds import TENANT, Done, names, put

pytestmark = pytest.mark.services("postgres")

HELD_SECONDS = 0.5


def address(store: Store) -> str:
    """The store's database, as asyncpg names it."""
    return store.address.replace("postgresql+asyncpg", "postgresql")


async def test_a_fence_held_for_too_long_costs_time_and_nothing_else(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql._WRITER_SESSION, "statement_timeout", "200")
    async with a_postgres_store(postgres_url) as store:
        await store.database.submit(put("before"))
        holder: Any = await asyncpg.connect(address(store))
        await holder.execute(f"SELECT pg_advisory_lock({FENCE_KEY})")
        waiting = [asyncio.create_task(store.database.submit(put(f"n{n}", key=f"k{n}"))) for n in range(3)]
        await asyncio.sleep(HELD_SECONDS)
        assert not any(task.done() for task in waiting)
        await holder.close()
        assert [answer.name for answer in await asyncio.gather(*waiting)] == ["n0", "n1", "n2"]
        assert (await store.database.submit(put("after"))).name == "after"
        assert await store.database.read(names) == ["after", "before", "n0", "n1", "n2"]


async def test_a_fence_that_is_never_given_is_an_answer(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql._WRITER_SESSION, "statement_timeout", "50")
    async with a_postgres_store(postgres_url) as store:
        holder: Any = await asyncpg.connect(address(store))
        await holder.execute(f"SELECT pg_advisory_lock({FENCE_KEY})")
        with pytest.raises(NervioError) as refused:
            await store.database.submit(put("n", key="k"))
        assert refused.value.kind is Kind.UNAVAILABLE
        await holder.close()
        assert await store.database.submit(put("n", key="k")) == Done("n", 0), "the same key, sent again"


async def test_what_the_first_half_of_a_batch_committed_is_not_made_twice(postgres_url: str) -> None:
    tries = 0

    def break_then_die(batch: Batch, _commands: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError  # the batch is halved
        batch.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    deadly = Operation("test.die", Effect.INCREASE, str, str, lambda _batch, command: command.body, break_then_die)
    async with a_postgres_store(postgres_url) as store:
        first, second = await store.database.submit_all([put("once"), Command(deadly, TENANT, "tester", "k", "died")])
        assert await store.database.read(names) == ["once"]
        assert isinstance(first, NervioError)
        assert "look whether it is there" in first.message
        assert isinstance(second, NervioError)
        assert second.kind is Kind.UNAVAILABLE
