"""The simulation's own parts do what they say: a loop that one seed decides, and locks as PostgreSQL has them."""

import asyncio
from collections.abc import Awaitable
from random import Random

import pytest

from tests.simulation.locking import Deadlock, LockTable
from tests.simulation.seeded import SeededLoop, Stuck


def told(seed: int) -> tuple[list[str], str, float]:
    """What ten tasks that pause a few times do under a seed."""
    loop = SeededLoop(Random(seed))
    done: list[str] = []

    async def work(name: str) -> None:
        for step in range(3):
            await loop.pause(f"{name}{step}")
            done.append(f"{name}{step}")
        await asyncio.sleep(3600)

    async def all_of_them() -> None:
        await asyncio.gather(*(work(f"t{n}.") for n in range(10)))

    loop.run_until_complete(all_of_them())
    loop.abandon()
    return done, loop.trace.hash, loop.time()


def test_a_seed_decides_the_order_and_an_hour_takes_no_time() -> None:
    first, again, other = told(1), told(1), told(2)
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]
    assert first[2] > 3600


def test_a_loop_in_which_nothing_can_happen_says_so() -> None:
    loop = SeededLoop(Random(1))

    async def wait_for_nobody() -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        loop.run_until_complete(wait_for_nobody())
    loop.abandon()


async def soon(work: Awaitable[bool]) -> "asyncio.Task[bool]":
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    return task


async def test_shared_locks_go_together_and_who_waits_for_all_of_them_is_next() -> None:
    locks = LockTable()
    assert not await locks.acquire("writer", ("fence",), exclusive=False)
    assert not await locks.acquire("other", ("fence",), exclusive=False)
    stop = await soon(locks.acquire("stop", ("fence",)))
    late = await soon(locks.acquire("late", ("fence",), exclusive=False))
    assert locks.blockers_of("stop") == ["writer", "other"]
    locks.release_all("writer")
    locks.release_all("other")
    assert await stop
    assert not late.done()
    locks.release_all("stop")
    assert await late


async def test_a_circle_of_waiting_is_found_when_it_closes() -> None:
    locks = LockTable()
    seen: list[object] = []
    locks.on_deadlock = seen.append
    await locks.acquire("one", ("row", 1))
    await locks.acquire("two", ("row", 2))
    waiting = await soon(locks.acquire("one", ("row", 2)))
    with pytest.raises(Deadlock):
        await locks.acquire("two", ("row", 1))
    assert len(seen) == 1
    locks.release_all("two")
    assert await waiting
    locks.release_all("one")


async def test_a_lock_that_is_taken_only_if_it_is_free_is_waited_for_by_nobody() -> None:
    locks = LockTable()
    assert locks.try_acquire("one", ("row",))
    assert not locks.try_acquire("two", ("row",))
    next_one = await soon(locks.acquire("next", ("row",)))
    locks.release_all("one")
    assert await next_one
    assert not locks.try_acquire("two", ("row",))


async def test_who_is_lost_while_waiting_is_told_and_the_next_one_goes_on() -> None:
    locks = LockTable()
    await locks.acquire("one", ("row",))
    lost, next_one = await soon(locks.acquire("lost", ("row",))), await soon(locks.acquire("next", ("row",)))
    locks.fail("lost", ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await lost
    locks.release_all("one")
    assert await next_one
