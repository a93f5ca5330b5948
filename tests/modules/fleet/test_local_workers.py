"""Workers in this process, under a dispatcher that runs by itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.local import LocalWorkers
from nervio.db.context import Ctx
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.api import Dispatcher, Drafts
from nervio.modules.fleet.contracts import AttemptEnding, SubmitTask, Task, TaskState
from nervio.ports.workers import Answer, Do, Job, TaskFailed
from nervio.runtime.commits import RingingDatabase
from tests.builders import Store
from tests.modules.fleet.handing import SETTINGS, Line

ECHO = SubmitTask("echo", '{"words":["uno","dos"]}', retries=1)


async def echo(job: Job) -> Answer:
    for word in job.payload["words"]:
        job.emit(word)
        await asyncio.sleep(0.05)
    return Answer({"said": job.payload["words"]}, {"input_tokens": 2})


@asynccontextmanager
async def working(
    store: Store, kinds: Mapping[str, Do], slots: int = 2, drafts: Drafts | None = None, line: Line | None = None
) -> AsyncIterator[Ctx]:
    """A context whose tasks are worked off by a dispatcher with one local worker."""
    database = RingingDatabase(line or store.database)
    ctx = replace(store.ctx, database=database, clock=SystemClock())
    worker = LocalWorkers(f"local-{store.ctx.tenant_id}", kinds, slots=slots)
    dispatcher = Dispatcher(
        ctx, store.ctx.tenant_id, [worker], SETTINGS, lambda _tenant, _module: None, drafts or Drafts()
    )
    stopping, bell = asyncio.Event(), database.queued.listener()
    running = asyncio.create_task(dispatcher.run(stopping, bell))
    try:
        yield ctx
    finally:
        stopping.set()
        await asyncio.wait_for(running, 10)


async def ended(ctx: Ctx, task: SubmitTask) -> Task:
    """What becomes of a task."""
    queued = await fleet.submit_task(ctx, task)
    found, _ = await fleet.wait_for_task(ctx, queued.id, 10)
    return found


async def test_a_task_is_done_at_once_and_its_parts_are_shown_in_order(store: Store) -> None:
    drafts = Drafts()
    async with working(store, {"echo": echo}, drafts=drafts) as ctx:
        queued = await fleet.submit_task(ctx, ECHO)
        parts = [part async for part in fleet.follow_answer(ctx, drafts, queued.id)]
        task, _ = await fleet.get_task(ctx, queued.id)
    assert (task.state, task.result, task.usage) == (TaskState.DONE, {"said": ["uno", "dos"]}, {"input_tokens": 2})
    assert "".join(part.text for part in parts if part) == "unodos"


async def test_a_failure_is_told_in_the_words_of_whoever_failed(store: Store) -> None:
    async def refuse(_job: Job) -> Answer:
        raise TaskFailed("payload.words is missing: send a list", may_help=False)

    async with working(store, {"echo": refuse}) as ctx:
        task = await ended(ctx, ECHO)
    assert (task.state, task.error, task.attempts) == (TaskState.FAILED, "payload.words is missing: send a list", 1)


async def test_a_bug_costs_an_attempt_and_nothing_else(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    async def crash_once(job: Job) -> Answer:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise KeyError("words")
        return await echo(job)

    async with working(store, {"echo": crash_once}) as ctx:
        queued = await fleet.submit_task(ctx, ECHO)
        task, _ = await fleet.get_task(ctx, queued.id)
        async with asyncio.timeout(10):
            while task.error is None:
                await asyncio.sleep(0.01)
                task, _ = await fleet.get_task(ctx, queued.id)
        assert (task.state, task.error) == (TaskState.WAITING, "KeyError: 'words'")
        store.clock.advance(1)
        task, _ = await fleet.wait_for_task(ctx, queued.id, 10)
    assert (task.state, task.attempts) == (TaskState.DONE, 2)
    assert "task_crashed" in caplog.text


async def test_what_json_cannot_say_fails_the_task(store: Store) -> None:
    async def object_of_ours(_job: Job) -> Answer:
        return Answer(object())

    async with working(store, {"echo": object_of_ours}) as ctx:
        task = await ended(ctx, replace(ECHO, retries=0))
    assert task.state is TaskState.FAILED
    assert task.error is not None and "not JSON serializable" in task.error


async def test_no_more_is_done_at_once_than_there_are_slots(store: Store) -> None:
    now = most = 0

    async def count(_job: Job) -> Answer:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return Answer(None)

    async with working(store, {"echo": count}, slots=3) as ctx:
        outcomes = await fleet.submit_tasks(ctx, [(ECHO, None)] * 30)
        for outcome in outcomes:
            assert not isinstance(outcome, BaseException)
            found, _ = await fleet.wait_for_task(ctx, outcome.id, 10)
            assert found.state is TaskState.DONE
    assert most == 3


async def test_a_task_that_is_cancelled_is_interrupted(store: Store) -> None:
    began, interrupted = asyncio.Event(), asyncio.Event()

    async def hang(_job: Job) -> Answer:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            interrupted.set()
            raise
        return Answer(None)

    async with working(store, {"echo": hang}, slots=1) as ctx:
        queued = await fleet.submit_task(ctx, ECHO)
        await asyncio.wait_for(began.wait(), 5)
        await fleet.cancel_task(ctx, queued.id)
        await asyncio.wait_for(interrupted.wait(), 5)
        # …and its slot is free again.
        began.clear()
        await fleet.submit_task(ctx, ECHO)
        await asyncio.wait_for(began.wait(), 5)


async def test_what_is_not_done_at_shutdown_waits_for_the_next_start(store: Store) -> None:
    began = asyncio.Event()

    async def hang(_job: Job) -> Answer:
        began.set()
        await asyncio.sleep(60)
        return Answer(None)

    async with working(store, {"echo": hang}) as ctx:
        queued = await fleet.submit_task(ctx, ECHO)
        await asyncio.wait_for(began.wait(), 5)
    _, (attempt,) = await fleet.get_task(store.ctx, queued.id)
    assert attempt.ending is AttemptEnding.HANDED_BACK
    async with working(store, {"echo": echo}) as ctx:
        task, _ = await fleet.wait_for_task(ctx, queued.id, 10)
    assert (task.state, task.attempts) == (TaskState.DONE, 1)


async def test_work_that_is_under_way_outlives_a_store_that_is_away(store: Store) -> None:
    began, finish = asyncio.Event(), asyncio.Event()

    async def slowly(job: Job) -> Answer:
        began.set()
        await finish.wait()
        return await echo(job)

    line = Line(store.database)
    async with working(store, {"echo": slowly}, line=line) as ctx:
        queued = await fleet.submit_task(ctx, ECHO)
        await asyncio.wait_for(began.wait(), 5)
        line.is_cut = True
        finish.set()
        await asyncio.sleep(0.8)
        line.is_cut = False
        task, attempts = await fleet.wait_for_task(ctx, queued.id, 10)
    assert (task.state, task.result) == (TaskState.DONE, {"said": ["uno", "dos"]})
    assert len(attempts) == 1


async def test_how_fast_a_worker_is_outlives_its_process(store: Store) -> None:
    async with working(store, {"echo": echo}) as ctx:
        for _ in range(5):
            await ended(ctx, ECHO)
    name = f"local-{store.ctx.tenant_id}"
    (learnt,) = [one for one in await fleet.list_predictions(store.ctx) if one.worker == name]
    assert learnt.samples == 5
    assert 0 < learnt.seconds < 1
