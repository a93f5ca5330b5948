"""Asking for jobs: what is refused, what is queued with what, who may look and move, and what is forgotten."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tables import queue_items
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.modules.jobs import api
from nervio.modules.jobs.contracts import QUEUE, EnqueueJob, JobQueued, JobState
from tests.builders import Store, prune_all
from tests.modules.jobs.working import Workshop, a_runner, ended, enqueue


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"payload": object()}, "not_json"),
        ({"payload": {"text": "\ud800"}}, "not_json"),
        ({"payload": "x" * 3_000_000}, "too_large"),
        ({"name": "no name"}, "invalid_job_name"),
        ({"name": "a." + "b" * 100}, "invalid_job_name"),
        ({"retries": -1}, "invalid_retries"),
        ({"deadline_at": 1}, "deadline_over"),
    ],
)
async def test_a_job_that_could_not_be_done_is_refused(store: Store, given: dict[str, Any], code: str) -> None:
    with pytest.raises(NervioError) as refused:
        await api.enqueue_job(store.ctx, replace(EnqueueJob("check.count"), **given))
    assert refused.value.code == code


async def test_jobs_are_queued_with_the_command_that_wants_them(store: Store, workshop: Workshop) -> None:
    def decide(batch: Batch, command: Command[str, str]) -> str:
        job_id = api.enqueue_in(batch, command, EnqueueJob("check.count", 2))
        if command.body == "refuse":
            api.enqueue_in(batch, command, EnqueueJob("check.count", retries=-1))
        return job_id

    ask = Operation("catalog.ask", Effect.INCREASE, str, str, decide, enqueues=QUEUE)
    job_id = await store.ctx.submit(ask, "do", "key")
    assert await store.ctx.submit(ask, "do", "key") == job_id
    with pytest.raises(NervioError, match="retries"):
        await store.ctx.submit(ask, "refuse", None)
    assert (await ended(store, a_runner(store, workshop), job_id)).result == 2
    assert len(await api.list_jobs(store.ctx)) == 1


async def test_many_are_queued_at_once_and_each_key_once(store: Store) -> None:
    jobs = [(EnqueueJob("check.count", n), f"k{n % 50}") for n in range(50)]
    first = await api.enqueue_jobs(store.ctx, jobs)
    again = await api.enqueue_jobs(store.ctx, jobs)
    assert first == again
    assert len({one.id for one in first if isinstance(one, JobQueued)}) == 50
    mixed = await api.enqueue_jobs(store.ctx, [(EnqueueJob("bad name"), None), (EnqueueJob("check.count"), None)])
    assert [isinstance(one, NervioError) for one in mixed] == [True, False]


async def test_another_tenants_job_is_not_there(store: Store) -> None:
    other, job_id = await store.another_tenant(), await enqueue(store, "count", 1)
    for deed in (api.get_job, api.cancel_job, api.retry_job):
        for wanted in (job_id, new_id(), "no id"):
            with pytest.raises(NervioError) as refused:
                await deed(other.ctx, wanted)
            assert refused.value.code == "job_not_found"
    assert await api.list_jobs(other.ctx) == []
    assert (await api.get_job(store.ctx, job_id)).state is JobState.WAITING


async def test_who_may_look_may_not_move(store: Store) -> None:
    job_id = await enqueue(store, "count", 1)
    reader = store.permitted(api.READ)
    assert (await api.get_job(reader, job_id)).id == job_id
    for deed in (api.cancel_job, api.retry_job):
        with pytest.raises(NervioError, match="permission"):
            await deed(reader, job_id)
    with pytest.raises(NervioError, match="permission"):
        await api.list_jobs(store.permitted())


async def test_a_task_of_the_fleet_is_no_job(store: Store) -> None:
    job_id = await enqueue(store, "count", 1)
    moved = update(queue_items).where(queue_items.c.id == job_id).values(queue="fleet")
    await store.database.bookkeep("prune", lambda c: c.execute(moved))
    with pytest.raises(NervioError, match="no job"):
        await api.cancel_job(store.ctx, job_id)
    kept = await store.database.read(
        lambda c: c.execute(select(queue_items.c.state).where(queue_items.c.id == job_id)).scalar_one()
    )
    assert kept == "waiting"


async def test_what_ended_long_ago_is_forgotten_and_what_waits_is_not(store: Store, workshop: Workshop) -> None:
    done, waiting = await enqueue(store, "count", 0), await enqueue(store, "retired")
    await ended(store, a_runner(store, workshop), done)
    moved = update(queue_items).where(queue_items.c.id == waiting).values(created_at=1, run_at=1)
    await store.database.bookkeep("prune", lambda c: c.execute(moved))
    await prune_all(store, api.list_aged(30))
    assert len(await api.list_jobs(store.ctx)) == 2
    store.clock.advance(31 * 86_400)
    await enqueue(store, "retired")
    await prune_all(store, api.list_aged(30))
    assert [job.state for job in await api.list_jobs(store.ctx)] == [JobState.WAITING] * 2
    with pytest.raises(NervioError, match="no job"):
        await api.get_job(store.ctx, done)
