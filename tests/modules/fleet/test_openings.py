"""Tasks that somebody is free for: queued and claimed in one commit, handed over without a round of the dispatcher."""

import pathlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from nervio.db import queue
from nervio.db.halt import Level
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Priority, SubmitTask, TaskState
from nervio.modules.fleet.store.tasks import QUEUE, count_waiting
from nervio.modules.fleet.usecases.losses import find_lost
from nervio.modules.fleet.usecases.openings import Openings
from nervio.modules.fleet.usecases.submitting import SUBMIT, Offer
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from nervio.ports.workers import Verdict
from tests.builders import Store, a_store
from tests.modules.fleet.handing import Hands, Line, a_dispatcher, a_profile, a_report, handed, report, state_of

CHAT = SubmitTask("chat", "{}", cache=False)


async def test_a_task_for_which_somebody_is_free_is_handed_over_with_the_commit_that_queues_it(store: Store) -> None:
    hands, openings = Hands(), Openings()
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        queued = await fleet.submit_task(store.ctx, CHAT, "key", openings)
        assert queued.state is TaskState.RUNNING
        await dispatcher.run_once()
        (assignment,) = hands.take()
        assert (assignment.task_id, assignment.token, assignment.attempt) == (queued.id, 1, 1)
        assert await report(dispatcher, a_report(assignment)) is Verdict.ACCEPTED
    assert await state_of(store, queued.id) is TaskState.DONE


async def test_nobody_overtakes_those_who_wait(store: Store) -> None:
    hands, openings = Hands(), Openings()
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        await fleet.submit_task(store.ctx, CHAT, openings=openings)
        second = await fleet.submit_task(store.ctx, CHAT, openings=openings)
        assert second.state is TaskState.WAITING
        (assignment,) = await handed(dispatcher, hands)
        await report(dispatcher, a_report(assignment))
        third = await fleet.submit_task(store.ctx, CHAT, openings=openings)
        assert third.state is TaskState.WAITING, "the second was there before it"
        assert [one.task_id for one in await handed(dispatcher, hands)] == [second.id]


async def test_of_many_as_many_are_claimed_as_there_is_room_for(store: Store) -> None:
    hands, openings = Hands(), Openings()
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=3))
        await dispatcher.run_once()
        queued = await fleet.submit_tasks(store.ctx, [(CHAT, None)] * 5, openings)
        states = [one.state for one in queued if not isinstance(one, BaseException)]
        assert states == [TaskState.RUNNING] * 3 + [TaskState.WAITING] * 2
        assert len(await handed(dispatcher, hands)) == 3


async def test_a_key_that_was_used_before_takes_no_place(store: Store) -> None:
    hands, openings = Hands(), Openings()
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        first = await fleet.submit_task(store.ctx, CHAT, "key", openings)
        (assignment,) = await handed(dispatcher, hands)
        await report(dispatcher, a_report(assignment))
        again = await fleet.submit_task(store.ctx, CHAT, "key", openings)
        assert again.id == first.id
        assert await handed(dispatcher, hands) == []
        other = await fleet.submit_task(store.ctx, CHAT, openings=openings)
        assert other.state is TaskState.RUNNING


async def test_what_is_refused_takes_no_place(store: Store) -> None:
    hands, openings = Hands(), Openings()
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        await safety.freeze(store.ctx, "no spending", scope=Scope.TENANT, level=Level.ALL)
        with pytest.raises(NervioError) as refusal:
            await fleet.submit_task(store.ctx, CHAT, "key", openings)
        assert refusal.value.kind is Kind.HALTED
        await safety.unfreeze(store.ctx, "go on", scope=Scope.TENANT)
        queued = await fleet.submit_task(store.ctx, CHAT, "key", openings)
        assert queued.state is TaskState.RUNNING


@pytest.mark.parametrize("why", ["no round yet", "its lease is over", "stopped here", "no dispatcher"])
async def test_nothing_is_claimed_for_who_may_not_hand_it_out(store: Store, why: str) -> None:
    hands, openings = Hands(), Openings()
    stopped: set[str] = {store.ctx.tenant_id} if why == "stopped here" else set()

    def find(tenant: str, _module: str) -> Any:
        return tenant if tenant in stopped else None

    async with a_dispatcher(store, hands, openings=openings, find_blocking=find) as dispatcher:
        dispatcher.joined(hands, a_profile())
        if why != "no round yet":
            await dispatcher.run_once()
        if why == "its lease is over":
            store.clock.advance(60)
        if why == "no dispatcher":
            openings.attach(None)
        assert (await fleet.submit_task(store.ctx, CHAT, openings=openings)).state is TaskState.WAITING


async def test_a_kind_that_nobody_does_is_in_nobodys_way(store: Store) -> None:
    hands, openings = Hands(), Openings()
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        strange = await fleet.submit_task(store.ctx, replace(CHAT, kind="ocr"), openings=openings)
        known = await fleet.submit_task(store.ctx, CHAT, openings=openings)
        assert (strange.state, known.state) == (TaskState.WAITING, TaskState.RUNNING)


async def test_what_was_claimed_and_not_handed_over_is_found_by_the_sweep(store: Store) -> None:
    hands, openings, line = Hands(), Openings(), Line(store.database)
    async with a_dispatcher(store, hands, openings=openings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        line.loses_word = True
        ctx = replace(store.ctx, database=line)
        with pytest.raises(OSError, match="after the commit"):
            await fleet.submit_task(ctx, replace(CHAT, retries=0), openings=openings)
        assert hands.take() == []
        for _ in range(3):
            store.clock.advance(1)
            dispatcher.seen("w1")
            await dispatcher.run_once()
        (assignment,) = hands.take()
        assert await report(dispatcher, a_report(assignment)) is Verdict.ACCEPTED


async def test_a_task_without_a_key_that_is_sent_again_is_the_same_task(store: Store) -> None:
    ctx = store.ctx
    command = replace(ctx.command(SUBMIT, replace(CHAT, size=1), None), key=None, offer=Offer(new_id()))
    first = await store.database.submit(command)
    assert await store.database.submit(command) == first
    assert len(await fleet.list_tasks(ctx)) == 1


async def test_looking_for_work_costs_the_same_however_much_was_ever_done(tmp_path: pathlib.Path) -> None:
    """Counted in steps of SQLite's machine, which are the same on every computer."""
    async with a_store(tmp_path) as store:
        few = await steps_of_looking(store, done=20)
    (tmp_path / "more").mkdir()
    async with a_store(tmp_path / "more") as store:
        many = await steps_of_looking(store, done=3000)
    for name, steps in few.items():
        assert many[name] <= 1.2 * steps + 10, (name, few, many)


async def steps_of_looking(store: Store, *, done: int) -> dict[str, int]:
    """What each look takes beside five tasks that wait, in tens of steps."""
    hands, now = Hands(), store.clock.now()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=done, slots=done))
        with_deadline = replace(CHAT, deadline_at=now + 1000 * SECOND)
        await fleet.submit_tasks(store.ctx, [(with_deadline, None)] * done)
        given = await handed(dispatcher, hands)
        assert len(given) == done
        await dispatcher.report("w1", [a_report(one) for one in given])
        await fleet.submit_tasks(store.ctx, [(with_deadline, None)] * 5)
        tenant_id, served = store.ctx.tenant_id, {"chat": set[str]()}
        looks: dict[str, Callable[[Connection], Any]] = {
            "who waits": lambda c: queue.list_waiting(c, QUEUE, now),
            "what is due": lambda c: queue.list_due(c, QUEUE, tenant_id, served, now, Priority.NORMAL, 40),
            "what was lost": lambda c: find_lost(c, "nobody", now),
            "how many run": lambda c: queue.count_running(c, QUEUE),
            "how many wait": lambda c: count_waiting(TenantConnection(c, tenant_id)),
        }
        return {name: await counted(store, look) for name, look in looks.items()}


async def counted(store: Store, look: Callable[[Connection], Any]) -> int:
    """Steps of SQLite's machine that some queries take, in tens."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def query(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        raw.set_progress_handler(count, 10)
        try:
            look(connection)
        finally:
            raw.set_progress_handler(None, 0)

    await store.database.read(query)
    return steps
