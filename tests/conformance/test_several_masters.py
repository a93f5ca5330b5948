"""Several processes hand out work on one broker: each worker gets it from one of them, and from another when that one ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nervio_worker import Kind, Options, Worker
from nervio_worker.checking import CHECK

from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.adapters.workers.mqtt_messages import choose_master
from tests import services
from tests.builders import Store
from tests.conformance.fleets import Fleet, a_living_store, a_master, a_prefix, remote, until

pytestmark = pytest.mark.services("mqtt")

NAMES = tuple(f"w{n}" for n in range(6))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose clock goes."""
    async with a_living_store(tmp_path) as made:
        yield made


@asynccontextmanager
async def workers(prefix: str, names: Sequence[str], kind: Kind = CHECK, **options: int) -> AsyncIterator[None]:
    """Python workers in this process."""
    stopping = asyncio.Event()
    serving = []
    for name in names:
        worker = Worker(Options(services.url("mqtt"), name, prefix, drain_seconds=1.0, **options))  # type: ignore[arg-type]
        worker.add(kind)
        serving.append(asyncio.create_task(worker.serve(stopping)))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*serving)


def transport(prefix: str) -> RemoteWorkers:
    """A way to workers over the shared broker."""
    return remote(urlsplit(services.url("mqtt")).port or 1883, prefix)


def of(fleet: Fleet) -> set[str]:
    """The workers that a master gives work to."""
    return {member.profile.id for member in fleet.dispatcher.roster if member.profile.credit > 0}


async def test_each_worker_gets_work_from_one_master_and_every_task_is_done(store: Store) -> None:
    prefix = a_prefix()
    async with (
        a_master(store, transport(prefix)) as first,
        a_master(store, transport(prefix)) as second,
        workers(prefix, NAMES),
    ):
        await until(lambda: of(first) | of(second) == set(NAMES) and not of(first) & of(second))
        ids = await first.submit_many([{"echo": n, "sleep_seconds": 0.01} for n in range(120)])
        ended = [await first.ended(task_id) for task_id in ids]

    assert [task.result for task, _ in ended] == list(range(120))
    assert [len(attempts) for _, attempts in ended] == [1] * 120


async def test_workers_of_a_master_that_ends_go_to_the_other_with_what_they_have(store: Store) -> None:
    prefix = a_prefix()
    async with AsyncExitStack() as going, a_master(store, transport(prefix)) as staying, workers(prefix, NAMES):
        ending = await going.enter_async_context(a_master(store, transport(prefix)))
        await until(lambda: of(staying) | of(ending) == set(NAMES) and not of(staying) & of(ending))
        ids = await staying.submit_many([{"echo": n, "sleep_seconds": 1.0} for n in range(12)])
        await until(lambda: len(staying.dispatcher.roster.held()) + len(ending.dispatcher.roster.held()) == len(NAMES))
        await going.aclose()
        await until(lambda: of(staying) == set(NAMES), 5)
        ended = [await staying.ended(task_id) for task_id in ids]

    assert [task.result for task, _ in ended] == list(range(12))
    assert [len(attempts) for _, attempts in ended] == [1] * 12


async def test_a_master_that_dies_is_missed_by_its_will(store: Store) -> None:
    prefix = a_prefix()
    dying = transport(prefix)
    async with (
        a_master(store, transport(prefix)) as staying,
        a_master(store, dying) as other,
        workers(prefix, NAMES),
    ):
        await until(lambda: of(staying) | of(other) == set(NAMES) and not of(staying) & of(other))
        assert dying._session._running is not None
        dying._session._running.cancel()
        client = dying._session._client
        assert client is not None
        client._sock_close()
        await until(lambda: of(staying) == set(NAMES), 5)


async def test_a_new_master_gives_a_worker_only_what_it_has_room_for(store: Store) -> None:
    prefix = a_prefix()
    most, now = 0, 0

    async def slow(_job: object) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(1.0)
        now -= 1

    async with workers(prefix, ("w",), Kind("check", slow), slots=4, credit=4):
        async with a_master(store, transport(prefix)) as before:
            await before.joined("w")
            ids = await before.submit_many([{}] * 4)
            await until(lambda: len(before.dispatcher.roster.held()) == 4)
        async with a_master(store, transport(prefix)) as after:
            ids += await after.submit_many([{}] * 4)
            ended = [await after.ended(task_id) for task_id in ids]

    assert [[attempt.ending for attempt in attempts] for _, attempts in ended] == [["done"]] * 8
    assert most == 4


def test_few_workers_move_when_a_master_comes() -> None:
    names = [f"w{n}" for n in range(300)]
    before = {name: choose_master(("a", "b"), name) for name in names}
    after = {name: choose_master(("a", "b", "c"), name) for name in names}

    assert 50 < sum(1 for name in names if after[name] == "c") < 150
    assert all(after[name] in {before[name], "c"} for name in names)
