"""Stops that run out, and thaws that go from stage to stage."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nervio.db.halt import find_blocking_read, read_active, read_clock
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import NIL
from nervio.kernel.time import SECOND
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen, Scope, Stages
from tests.builders import QUEUE_CAPACITY, Store, a_postgres_store, a_store
from tests.modules.safety.stops import (
    STAGE,
    a_policy,
    events,
    frozen,
    journal,
    levels_for,
    person,
    refusal_of,
    thawed,
    writing,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


# -- expiry ----------------------------------------------------------------------------------------------------------


async def test_a_stop_for_a_time_ends_by_itself_and_the_sweeper_books_it(store: Store) -> None:
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=60)
    store.clock.advance(59.9)
    await safety.advance(store.ctx)
    assert not await writing(store)
    store.clock.advance(0.2)
    assert await writing(store), "the fence needs no sweeper"
    assert await safety.list_halts(store.ctx, active=True) == []
    await safety.advance(store.ctx)
    halt = (await safety.list_halts(store.ctx))[0]
    assert (halt.cleared_by, halt.clear_reason) == ("nervio", "expired")
    assert [entry["reason"] for entry in await journal(store, "halt_expired")] == ["expired"]
    assert [event["cleared_by"] for event in await events(store, "halt_cleared.v1")] == ["nervio"]


async def test_a_watch_lets_an_expired_stop_go_without_the_sweeper(store: Store) -> None:
    watch = safety.HaltWatch(store.database, store.clock)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=60)
    await watch.refresh()
    assert watch.find_blocking_read(store.ctx.tenant_id) is not None
    store.clock.advance(61)
    await watch.refresh()
    assert watch.find_blocking_read(store.ctx.tenant_id) is None
    assert not safety.summarize(watch.in_force, store.ctx.tenant_id).active


async def test_a_longer_stop_stands_beside_a_shorter_one(store: Store) -> None:
    short = await frozen(safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=60))
    again = await frozen(safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=30))
    assert again == Frozen(short.halt, already=True)
    latched = await frozen(safety.freeze(store.ctx, "fire", scope=Scope.TENANT))
    assert not latched.already
    assert (await frozen(safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=5))).already
    store.clock.advance(61)
    assert not await writing(store)


async def test_an_end_is_given_once_and_lies_ahead(store: Store) -> None:
    now = store.clock.now()
    for given in (
        {"for_seconds": 0.1},
        {"for_seconds": 10**9},
        {"expires_at": now},
        {"for_seconds": 60, "expires_at": now + 60 * SECOND},
    ):
        assert await refusal_of(safety.freeze(store.ctx, "fire", **given)) == "invalid_expiry"
    await safety.freeze(store.ctx, "fire", expires_at=now + 60 * SECOND)
    store.clock.advance(60 + 5)
    assert await writing(store)


@pytest.mark.services("postgres")
async def test_on_postgresql_the_server_s_clock_decides(postgres_url: str) -> None:
    """The clocks of processes may differ by anything: here they stand still, months away from the server's."""
    async with a_postgres_store(postgres_url) as store:
        await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=1)
        clock = await store.database.read(lambda c: read_clock(c, store.clock.now()))
        assert abs(clock - store.clock.now()) > 3600 * SECOND, "or the rest proves nothing"
        assert not await writing(store)
        store.clock.advance(3600)
        assert not await writing(store)
        await asyncio.sleep(1.1)
        assert await writing(store)
        await safety.advance(store.ctx)
        assert len(await journal(store, "halt_expired")) == 1


# -- stages ----------------------------------------------------------------------------------------------------------


async def test_a_thaw_goes_from_reading_to_reducing_to_nothing(store: Store) -> None:
    await a_policy(store)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    answer = await thawed(safety.unfreeze(person(store, "ann"), "out", scope=Scope.TENANT))
    assert answer.cleared == ()
    assert [halt.level for halt in answer.thawing] == ["read_only"]
    assert await levels_for(store, store.ctx.tenant_id) == ["read_only"]
    await safety.advance(store.ctx)
    assert await levels_for(store, store.ctx.tenant_id) == ["read_only"], "its time has not come"
    store.clock.advance(STAGE)
    await safety.advance(store.ctx)
    assert await levels_for(store, store.ctx.tenant_id) == ["reduce_only"]
    assert not await writing(store)
    store.clock.advance(STAGE)
    await safety.advance(store.ctx)
    assert await writing(store)
    assert [entry["level"] for entry in await journal(store, "halt_stage")] == ["reduce_only", "read_only"]
    halt = (await safety.list_halts(store.ctx))[0]
    assert (halt.asked_level, halt.cleared_by, halt.clear_reason) == ("all", "ann", "out")
    assert [event["level"] for event in await events(store, "halt_stage_reached.v1")] == ["read_only", "reduce_only"]


async def test_without_a_policy_the_endpoint_thaws_at_once_and_stages_can_be_asked_for(store: Store) -> None:
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    answer = await thawed(safety.unfreeze(store.ctx, "out", scope=Scope.TENANT, stages=Stages.POLICY))
    assert len(answer.thawing) == 1
    answer = await thawed(safety.unfreeze(store.ctx, "out", scope=Scope.TENANT))
    assert len(answer.cleared) == 1


async def test_no_seconds_take_all_stages_at_once(store: Store) -> None:
    await a_policy(store, thaw_stage_seconds=0)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    answer = await thawed(safety.unfreeze(person(store, "ann"), "out", scope=Scope.TENANT))
    assert len(answer.cleared) == 1
    assert len(await journal(store, "halt_stage")) == 2


async def test_a_new_stop_in_the_middle_of_a_thaw_wins(store: Store) -> None:
    await a_policy(store)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    await safety.unfreeze(person(store, "ann"), "out", scope=Scope.TENANT)
    for level in ("read_only", "all"):
        again = await frozen(safety.freeze(store.ctx, "fire again", scope=Scope.TENANT, level=level))
        assert not again.already, "what is being thawed is no stop to rely on"
    for _ in range(4):
        store.clock.advance(STAGE)
        await safety.advance(store.ctx)
    assert sorted(halt.level for halt in await safety.list_halts(store.ctx, active=True)) == ["all", "read_only"]


async def test_a_crash_in_the_middle_leaves_the_stage_and_the_next_process_goes_on(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await a_policy(store)
        await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
        await safety.unfreeze(person(store, "ann"), "out", scope=Scope.TENANT)
        address, clock = Path(store.address), store.clock
    clock.advance(100 * STAGE)
    database = SQLiteDatabase(address, clock, QUEUE_CAPACITY)
    await database.start()
    try:
        after = replace(store, database=database, ctx=replace(store.ctx, database=database))
        assert await levels_for(after, store.ctx.tenant_id) == ["read_only"]
        await safety.advance(after.ctx)
        assert await levels_for(after, store.ctx.tenant_id) == ["reduce_only"], "one stage at a time, however late"
    finally:
        await database.close()


async def test_skipping_stages_takes_a_right_of_its_own(store: Store) -> None:
    await a_policy(store)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    ann = person(store, "ann")
    assert ann.permissions is not None
    without = replace(ann, permissions=ann.permissions - {safety.RESUME_AT_ONCE})
    assert await refusal_of(safety.unfreeze(without, "out", scope=Scope.TENANT, stages=Stages.NONE)) == "forbidden"
    assert not await writing(store)
    assert len((await thawed(safety.unfreeze(ann, "out", scope=Scope.TENANT, stages=Stages.NONE))).cleared) == 1


async def test_the_tenants_of_an_installation_follow_one_after_another(store: Store) -> None:
    await a_policy(store, Scope.INSTALLATION, thaw_jitter_seconds=60)
    tenants = [f"0190000{n:x}-0000-7000-8000-000000000001" for n in range(16)]
    await safety.freeze(store.ctx, "fire")
    await safety.unfreeze(person(store, "ann"), "out", scope=Scope.INSTALLATION)

    async def let_go(level: str | None) -> int:
        active = await store.database.read(lambda c: read_active(c, store.clock.now()))
        # One that is over for everybody is not read at all.
        return sum(
            [halt.level_for(tenant) for halt in active] in ([level], [] if level is None else None)
            for tenant in tenants
        )

    seen = []
    for _ in range(7):
        seen.append(await let_go("read_only"))
        store.clock.advance(10)
    assert seen[0] < 3
    assert seen[-1] == 16
    assert seen == sorted(seen)
    assert len(set(seen)) > 3, "and not all at once"
    active = await store.database.read(lambda c: read_active(c, store.clock.now() - 70 * SECOND))
    assert find_blocking_read(active, None) is not None, "who belongs to no shop comes last"
    await safety.advance(store.ctx)
    store.clock.advance(70)
    await safety.advance(store.ctx)
    seen = [await let_go(None)]
    store.clock.advance(30)
    seen.append(await let_go(None))
    store.clock.advance(31)
    seen.append(await let_go(None))
    assert seen[0] < seen[1] < seen[2] == 16
    await safety.advance(store.ctx)
    assert [halt.cleared_by for halt in await safety.list_halts(store.ctx)] == ["ann"]
    assert len(await journal(store, "halt_stage", NIL)) == 3


async def test_refused_callers_are_told_to_come_back_at_different_times(store: Store) -> None:
    await safety.freeze(store.ctx, "fire")
    waits = set()
    for n in range(12):
        with pytest.raises(NervioError) as refused:
            await catalog.save_location(store.ctx, LocationInput(f"N{n}", "New"))
        waits.add(refused.value.data["retry_after_seconds"])
    assert len(waits) > 2
    assert min(waits) >= 5
    assert max(waits) <= 10
