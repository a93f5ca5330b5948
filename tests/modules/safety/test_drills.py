"""Drills go through the real path, bother nobody, and turn red what was not tried."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from nervio.db.batch import Command
from nervio.db.context import Ctx
from nervio.db.halt import read_active
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import NIL, new_id
from nervio.kernel.time import to_datetime
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.drills import BeginDrill, Drill
from nervio.modules.safety.contracts.halts import STOPPABLE_MODULES, Freeze, Scope, Target
from nervio.modules.safety.domain.drills import WEEKDAYS
from nervio.modules.safety.models.drills import drill_probes
from nervio.modules.safety.models.halts import halt_watchers
from nervio.modules.safety.settings import SafetySettings
from nervio.modules.safety.usecases import drilling
from nervio.modules.safety.usecases.stopping import run
from tests.builders import QUEUE_CAPACITY, Store, a_postgres_store, a_store
from tests.modules.safety.stops import events, journal, refusal_of, writing

RED_AFTER_DAYS = 8


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


async def leftovers(store: Store) -> int:
    """Drill halts in force and probes that are still there."""
    active = await store.database.read(lambda c: read_active(c, store.clock.now()))
    probes: int = await store.database.read(
        lambda c: c.execute(select(func.count()).select_from(drill_probes)).scalar_one()
    )
    return len([halt for halt in active if halt.is_drill]) + probes


@asynccontextmanager
async def watching(store: Store) -> AsyncIterator[safety.HaltWatch]:
    """Another process of the same store: a watch that acknowledges under an id of its own."""
    if isinstance(store.database, PostgreSQLDatabase):
        database: PostgreSQLDatabase | SQLiteDatabase = PostgreSQLDatabase(store.address, store.clock, QUEUE_CAPACITY)
    else:
        database = SQLiteDatabase(Path(store.address), store.clock, QUEUE_CAPACITY)
    await database.start()
    watch = safety.HaltWatch(database, store.clock, new_id())
    await watch.start()
    try:
        yield watch
    finally:
        await watch.stop()
        await database.close()


@pytest.mark.parametrize(
    ("scope", "module"), [(Scope.INSTALLATION, None), (Scope.TENANT, None), (Scope.TENANT, "sales")]
)
async def test_a_drill_tries_the_real_path_and_is_written_down(store: Store, scope: Scope, module: str | None) -> None:
    drill = await safety.run_drill(store.ctx, scope, module)
    assert (drill.outcome, drill.findings) == ("passed", ())
    assert drill.freeze_us is not None
    assert drill.everywhere_us is not None
    assert drill.everywhere_us >= drill.freeze_us > 0
    tenant_id = NIL if scope is Scope.INSTALLATION else store.ctx.tenant_id
    assert [entry["findings"] for entry in await journal(store, "drill_passed", tenant_id)] == [[]]
    assert [event["drill_id"] for event in await events(store, "drill_passed.v1")] == [drill.id]
    assert await events(store, "halt_activated.v1") == [], "nobody is woken for a drill"
    assert await safety.list_halts(store.ctx) == []
    assert await leftovers(store) == 0


async def test_nobody_notices_a_drill(store: Store) -> None:
    """Its halt is there, and the tills sell on, the pages are read, and no screen says that anything is stopped."""
    watch = safety.HaltWatch(store.database, store.clock)
    body = Freeze(Target(None, "drill"), "all", "drill", seconds=60)
    await run(store.database, safety.FREEZE, None, "tester", body)
    await watch.refresh()
    assert await leftovers(store) == 1
    assert await writing(store)
    assert watch.find_blocking_read(store.ctx.tenant_id) is None
    assert watch.find_blocking_effect(store.ctx.tenant_id, "sales") is None
    assert list(watch.in_force) == []
    assert not (await safety.get_status(store.database, store.clock)).active
    assert await refusal_of(safety.freeze(store.ctx, "drill", module="drill")) == "unknown_module"


async def test_a_hundred_drills_beside_a_real_stop_thaw_nothing(store: Store) -> None:
    await safety.freeze(store.ctx, "wet goods", scope=Scope.TENANT, module="sales")
    for _ in range(100):
        drill = await safety.run_drill(store.ctx, Scope.TENANT, "sales")
        assert drill.findings == ()
    assert [halt.reason for halt in await safety.list_halts(store.ctx, active=True)] == ["wet goods"]
    assert await leftovers(store) == 0


async def test_what_is_really_stopped_is_not_drilled(store: Store) -> None:
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    with pytest.raises(NervioError) as refused:
        await safety.run_drill(store.ctx)
    assert refused.value.kind is Kind.HALTED
    assert await safety.list_drills(store.ctx) == []


async def test_a_fence_that_lets_something_through_fails_the_drill(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A probe that the halt does not cover stands for a write that slips past the fence."""
    monkeypatch.setattr(drilling, "PROBES", {**drilling.PROBES, "sales": drilling.PROBES["stock"]})
    with caplog.at_level(logging.ERROR):
        drill = await safety.run_drill(store.ctx, Scope.TENANT, "sales")
    assert drill.outcome == "failed"
    assert set(drill.findings) >= {"passed_during", "written_during"}
    assert "drill_failed" in caplog.text
    assert [event["findings"] for event in await events(store, "drill_failed.v1")] == [list(drill.findings)]
    assert await leftovers(store) == 0
    stands = await safety.list_scopes(store.ctx, RED_AFTER_DAYS)
    assert (stands[0].state, [one.state for one in stands if one.module == "sales"]) == ("never", ["failed"])


async def test_a_process_that_does_not_acknowledge_fails_the_drill(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(store) as watch:
        drill = await wait_for_processes(store, 1)
        assert drill.findings == ()
        assert drill.processes == 1
        monkeypatch.setattr(drilling, "EVERYWHERE_SECONDS", 0.2)
        assert watch._acknowledging is not None
        watch._acknowledging.cancel()  # its heart beats on in the table for a while
        drill = await safety.run_drill(store.ctx)
        assert drill.findings == ("not_everywhere",)
    assert (await safety.run_drill(store.ctx)).processes == 0, "who ended in order is waited for by nobody"


async def wait_for_processes(store: Store, count: int) -> Drill:
    """A drill once so many processes have said that they are there; those that have not are tried again."""

    async def known() -> int:
        found: int = await store.database.read(
            lambda c: c.execute(select(func.count()).select_from(halt_watchers)).scalar_one()
        )
        return found

    async with asyncio.timeout(10):
        while await known() < count:  # noqa: ASYNC110 (the other process tells nobody)
            await asyncio.sleep(0.01)
    return await safety.run_drill(store.ctx)


@pytest.mark.services("postgres")
async def test_a_drill_waits_for_every_process_of_the_database(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store, watching(store), watching(store):
        drill = await wait_for_processes(store, 2)
        assert (drill.findings, drill.processes) == ((), 2)
        for _ in range(10):
            assert (await safety.run_drill(store.ctx, Scope.INSTALLATION)).findings == ()
        assert await leftovers(store) == 0


# -- the calendar ----------------------------------------------------------------------------------------------------


async def test_a_scope_is_red_until_it_was_tried_and_again_when_that_is_long_ago(store: Store) -> None:
    stands = await safety.list_scopes(store.ctx, RED_AFTER_DAYS)
    assert len(stands) == 2 + len(STOPPABLE_MODULES)
    assert all(stand.is_red for stand in stands)
    await safety.run_drill(store.ctx, Scope.TENANT, "stock")
    stands = await safety.list_scopes(store.ctx, RED_AFTER_DAYS)
    assert [stand.module for stand in stands if not stand.is_red] == ["stock"]
    assert stands[-1].module == "stock", "red ones first"
    store.clock.advance(RED_AFTER_DAYS * 86_400)
    assert {stand.state for stand in await safety.list_scopes(store.ctx, RED_AFTER_DAYS)} == {"never", "old"}


async def test_who_may_drill(store: Store) -> None:
    nobody = store.permitted(safety.READ)
    assert await refusal_of(safety.run_drill(nobody)) == "forbidden"
    admin = store.permitted("safety.drill")
    assert await refusal_of(safety.run_drill(admin, Scope.INSTALLATION)) == "forbidden"
    assert await refusal_of(safety.run_drill(store.ctx, Scope.TENANT, "sails")) == "unknown_module"
    assert await refusal_of(safety.run_drill(store.ctx, Scope.INSTALLATION, "sales")) == "whole_installation"


# -- the schedule ----------------------------------------------------------------------------------------------------


def due_now(store: Store) -> SafetySettings:
    """Settings whose slot is the moment at which the store's clock stands, on this machine's clock."""
    local = to_datetime(store.clock.now()).astimezone()
    return SafetySettings.model_validate({"drill_weekday": WEEKDAYS[local.weekday()], "drill_at": f"{local:%H:%M}"})


async def a_week(store: Store, schedule: safety.DrillSchedule) -> list[Drill]:
    for _ in range(20):
        await schedule.run(system(store))
    return await safety.list_drills(store.ctx, limit=200)


def system(store: Store) -> Ctx:
    return replace(store.ctx, tenant_id=NIL, actor_id="nervio")


async def test_the_schedule_drills_every_scope_once_a_week(store: Store, tmp_path: Path) -> None:
    schedule = safety.DrillSchedule(due_now(store))
    # The shop of the store is no row of the directory of shops; what is drilled then is the installation.
    first = await a_week(store, schedule)
    assert [(drill.scope, drill.outcome) for drill in first] == [(Scope.INSTALLATION, "passed")]
    store.clock.advance(6 * 86_400)
    assert len(await a_week(store, schedule)) == 1
    store.clock.advance(86_400)
    assert len(await a_week(store, schedule)) == 2


async def test_a_shop_that_was_off_is_drilled_some_time_after_it_starts(store: Store) -> None:
    at = due_now(store)
    store.clock.advance(3600)
    schedule = safety.DrillSchedule(at)
    assert await a_week(store, schedule) == []
    store.clock.advance(600)
    assert len(await a_week(store, schedule)) == 1


async def test_without_drills_nothing_is_drilled(store: Store) -> None:
    settings = due_now(store).model_copy(update={"drills": False})
    assert await a_week(store, safety.DrillSchedule(settings)) == []


async def test_a_drill_whose_process_died_is_failed_and_leaves_nothing(store: Store) -> None:
    left = BeginDrill(new_id(), None, None)
    await store.database.submit(Command(safety.BEGIN_DRILL, NIL, "tester", left.drill_id, left))
    body = Freeze(Target(None, "drill"), "all", "drill", seconds=60)
    await run(store.database, safety.FREEZE, None, "tester", body)
    assert await refusal_of(safety.run_drill(store.ctx, Scope.INSTALLATION)) == "drill_running"
    assert await writing(store)
    store.clock.advance(61)
    await safety.DrillSchedule(SafetySettings.model_validate({"drills": False})).run(system(store))
    assert [drill.findings for drill in await safety.list_drills(store.ctx)] == [("interrupted",)]
    assert len(await events(store, "drill_failed.v1")) == 1
    assert await leftovers(store) == 0
    assert (await safety.run_drill(store.ctx, Scope.INSTALLATION)).findings == ()
