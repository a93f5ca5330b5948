"""Leases change hands with growing tokens; a late holder can move nothing any more."""

import asyncio

import pytest

from nervio.db import leases
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from tests.builders import NOON, Store, a_postgres_store
from tests.modules.db.conftest import on

A, B = "process a", "process b"


async def take(url: str, owner: str, seconds_later: float = 0) -> int | None:
    now = NOON + int(seconds_later * SECOND)
    return await on(url, lambda connection: leases.acquire(connection, "sealer", owner, now, 10))


async def test_one_holder_at_a_time(url: str) -> None:
    assert await take(url, A) == 1
    assert await take(url, B) is None
    assert await take(url, A, 5) == 1, "renewed by its holder, it keeps its token"
    assert await take(url, B, 14.9) is None, "and lasts from the renewal"
    assert await take(url, B, 15) == 2
    assert await take(url, A, 16) is None


async def test_a_holder_that_comes_back_late_gets_a_new_token(url: str) -> None:
    assert await take(url, A) == 1
    assert await take(url, A, 11) == 2, "somebody may have held it in between"


async def test_who_is_alone_lets_go_of_what_a_clock_that_was_set_back_left_behind(url: str) -> None:
    assert await take(url, A, seconds_later=3600) == 1
    assert await take(url, B) is None, "for an hour nobody would do the work"
    await on(url, leases.release_all)
    assert await take(url, B) == 2


async def test_a_lease_that_was_let_go_is_free_at_once(url: str) -> None:
    await take(url, A)
    await on(url, lambda connection: leases.release(connection, "sealer", B))
    assert await take(url, B) is None, "only its holder can let it go"
    await on(url, lambda connection: leases.release(connection, "sealer", A))
    assert await take(url, B) == 2


async def test_leases_of_other_names_are_other_leases(url: str) -> None:
    await take(url, A)
    assert await on(url, lambda connection: leases.acquire(connection, "relay", B, NOON, 10)) == 1


async def test_a_late_holder_is_refused(url: str) -> None:
    old = await take(url, A)
    new = await take(url, B, 11)
    assert old is not None
    assert new is not None
    await on(url, lambda connection: leases.check(connection, "sealer", new))
    with pytest.raises(NervioError) as refusal:
        await on(url, lambda connection: leases.check(connection, "sealer", old))
    assert (refusal.value.kind, refusal.value.code) == (Kind.CONFLICT, "lease_lost")
    with pytest.raises(NervioError):
        await on(url, lambda connection: leases.check(connection, "no such lease", 1))


async def test_a_cursor_only_moves_forward_and_only_for_the_newest_holder(url: str) -> None:
    async def move(position: int, token: int) -> None:
        await on(url, lambda connection: leases.move_cursor(connection, "relay", position, token))

    async def position() -> int:
        return await on(url, lambda connection: leases.read_cursor(connection, "relay"))

    assert await position() == 0
    await move(10, 1)
    await move(10, 1)
    await move(20, 2)
    assert await position() == 20
    for late in ((30, 1), (15, 2), (15, 3)):
        with pytest.raises(NervioError, match="newer holder"):
            await move(*late)
    assert await position() == 20
    await move(21, 3)
    assert await position() == 21


@pytest.mark.services("postgres")
async def test_many_processes_that_want_a_lease_at_once_get_one_holder(postgres_url: str) -> None:
    """The first row of a lease too, which nobody could lock before it was there."""
    async with a_postgres_store(postgres_url) as store:
        others = [PostgreSQLDatabase(store.address, store.clock, 10) for _ in range(6)]
        for other in others:
            await other.start()
        try:
            for n in range(10):
                tokens = await asyncio.gather(
                    *(_acquire(store, other, f"lease {n}", f"process {m}") for m, other in enumerate(others))
                )
                assert sorted(tokens, key=str) == [1, *[None] * 5]
        finally:
            for other in others:
                await other.close()


async def _acquire(store: Store, database: PostgreSQLDatabase, name: str, owner: str) -> int | None:
    return await database.bookkeep(
        "lease", lambda connection: leases.acquire(connection, name, owner, store.clock.now(), 10)
    )
