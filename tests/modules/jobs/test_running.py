"""Jobs from being asked for to their end: steps, failures, parks, take-overs."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from nervio.db.batch import Command
from nervio.db.halt import Halt, Level
from nervio.db.jobs import Job, JobCtx
from nervio.db.tables import queue_items
from nervio.kernel.errors import NervioError
from nervio.modules.jobs import api
from nervio.modules.jobs.contracts import EnqueueJob, JobPriority, JobState, JobWait
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from tests.builders import Store, a_product, level_of
from tests.modules.fleet.handing import Line
from tests.modules.jobs.working import Workshop, a_runner, at_work, ended, enqueue, receive_one, until


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


async def test_a_job_is_done_in_the_name_of_who_asked_for_it(store: Store, workshop: Workshop) -> None:
    job_id = await enqueue(store, "count", 3)
    job = await ended(store, a_runner(store, workshop), job_id)
    assert (job.state, job.result, job.done, job.total, job.attempts) == (JobState.DONE, 3, 3, 3, 1)
    assert workshop.begun == [(store.ctx.tenant_id, "tester", 3)]


async def test_a_step_happens_once_however_often_the_job_is_begun(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)
    payload = {"sku": product.sku, "total": 6, "fail_at": 2}
    job = await ended(store, a_runner(store, workshop), await enqueue(store, "receive", payload, retries=2))
    assert (job.state, len(workshop.begun)) == (JobState.DONE, 2), "it went on behind the step after which it failed"
    assert await level_of(store, product) == (6, 0)


async def test_attempts_are_counted_from_the_last_step(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)

    async def stumble(job: JobCtx, _payload: Any) -> None:
        for n in range(job.value or 0, 5):
            async with job.step(n + 1) as ctx:
                await receive_one(ctx, product.sku)
            raise OSError("the line is cut")

    runner = a_runner(store, workshop, jobs=(Job("check.stumble", stumble),))
    job = await ended(store, runner, await enqueue(store, "stumble", retries=1))
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    assert await level_of(store, product) == (5, 0)


async def test_a_step_that_is_refused_moves_nothing(store: Store, workshop: Workshop) -> None:
    seen: list[Any] = []

    async def work(job: JobCtx, _payload: Any) -> None:
        with pytest.raises(NervioError):
            async with job.step("after") as ctx:
                await receive_one(ctx, "NO-SUCH-SKU")
        seen.append(job.value)
        async with job.step("after all") as ctx:
            with pytest.raises(NervioError):
                await receive_one(ctx, "NO-SUCH-SKU")
        seen.append(job.value)

    job_id = await enqueue(store, "work")
    job = await ended(store, a_runner(store, workshop, jobs=(Job("check.work", work),)), job_id)
    assert (job.state, job.checkpoint, seen) == (JobState.DONE, "after all", [None, "after all"])


async def test_a_step_is_one_command(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)

    async def twice(job: JobCtx, _payload: Any) -> None:
        async with job.step(1) as ctx:
            await receive_one(ctx, product.sku)
            await receive_one(ctx, product.sku)

    async def never(job: JobCtx, _payload: Any) -> None:
        async with job.step(1):
            pass

    runner = a_runner(store, workshop, jobs=(Job("check.twice", twice), Job("check.never", never)))
    for name in ("twice", "never"):
        job = await ended(store, runner, await enqueue(store, name, retries=0))
        assert job.state is JobState.FAILED
        assert "RuntimeError" in (job.error or "")
    assert await level_of(store, product) == (1, 0)


async def test_a_step_whose_command_was_answered_before_moves_on(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)
    done = EnqueueJob("check.count", 0)
    await api.enqueue_job(store.ctx, done, "once")

    async def ask(job: JobCtx, _payload: Any) -> None:
        async with job.step("asked") as ctx:
            await api.enqueue_job(ctx, done, "once")

    runner = a_runner(store, workshop, jobs=(Job("check.ask", ask),))
    job = await ended(store, runner, await enqueue(store, "ask"))
    assert (job.state, job.checkpoint) == (JobState.DONE, "asked")
    assert len(await api.list_jobs(store.ctx, name="check.count")) == 1
    assert await level_of(store, product) == (0, 0)


async def test_a_late_claim_can_make_no_step(store: Store, workshop: Workshop) -> None:
    """Its lease lapsed, another has the job; it finds out at its next step, of which nothing is done."""
    product = await a_product(store)
    job_id = await enqueue(store, "receive", {"sku": product.sku, "total": 4, "gate_at": 2})
    late, other = Workshop(), a_runner(store, workshop)
    stuck = a_runner(store, late)
    await stuck.run_once()
    await until(store, job_id, lambda job: job.done == 2)
    store.clock.advance(3)
    workshop.gate.set()
    job = await ended(store, other, job_id)
    late.gate.set()
    await asyncio.sleep(0.05)
    await stuck.run_once()
    assert (job.state, job.attempts) == (JobState.DONE, 1), "it had come further, so the loss is no failed attempt"
    assert await level_of(store, product) == (4, 0)
    assert len(late.begun) == len(workshop.begun) == 1


async def test_a_job_that_ends_its_process_without_coming_further_is_given_up(store: Store, workshop: Workshop) -> None:
    job_id = await enqueue(store, "wait", retries=1)
    for _ in range(2):
        dying = a_runner(store, Workshop())
        await dying.run_once()  # brings back what the one before had
        await dying.run_once()
        store.clock.advance(3)
    await a_runner(store, workshop).run_once()
    job = await api.get_job(store.ctx, job_id)
    assert (job.state, job.attempts) == (JobState.FAILED, 2)
    assert "gone" in (job.error or "")


async def test_what_fails_is_tried_again_with_pauses_and_then_given_up(store: Store, workshop: Workshop) -> None:
    job_id = await enqueue(store, "fail", retries=2)
    runner = a_runner(store, workshop)
    await runner.run_once()
    job = await until(store, job_id, lambda job: job.error is not None)
    assert (job.state, job.error) == (JobState.WAITING, "KeyError: 'colour'")
    assert job.run_at > store.clock.now()
    assert api.explain_waiting(store.ctx, job, {job.name}, stopped=False) is JobWait.PAUSE
    job = await ended(store, runner, job_id)
    assert (job.state, len(workshop.begun)) == (JobState.FAILED, 3)
    await api.retry_job(store.ctx, job_id)
    job = await ended(store, runner, job_id)
    assert (job.state, len(workshop.begun)) == (JobState.FAILED, 6)


@pytest.mark.parametrize(("name", "said"), [("refuse", "nothing to do"), ("odd", "result")])
async def test_what_cannot_be_helped_is_not_tried_again(store: Store, workshop: Workshop, name: str, said: str) -> None:
    job = await ended(store, a_runner(store, workshop), await enqueue(store, name))
    assert (job.state, len(workshop.begun)) == (JobState.FAILED, 1)
    assert said in (job.error or "")


async def test_a_job_that_nobody_knows_waits_and_says_so(store: Store, workshop: Workshop) -> None:
    job_id = await enqueue(store, "retired")
    known = await enqueue(store, "count", 1)
    runner = a_runner(store, workshop)
    assert (await ended(store, runner, known)).state is JobState.DONE
    job = await api.get_job(store.ctx, job_id)
    assert (job.state, job.attempts) == (JobState.WAITING, 0)
    assert api.explain_waiting(store.ctx, job, {"check.count"}, stopped=False) is JobWait.UNKNOWN
    later = a_runner(store, workshop, jobs=(Job("check.retired", workshop.count),))
    await api.cancel_job(store.ctx, job_id)
    await later.run_once()
    assert (await api.get_job(store.ctx, job_id)).state is JobState.CANCELLED


@pytest.mark.parametrize("column", ["payload", "checkpoint"])
async def test_a_row_that_cannot_be_read_is_given_up_and_shown(store: Store, workshop: Workshop, column: str) -> None:
    job_id = await enqueue(store, "count", 1)
    damaged = update(queue_items).where(queue_items.c.id == job_id).values({column: "{half"})
    await store.database.bookkeep("prune", lambda c: c.execute(damaged))
    job = await ended(store, a_runner(store, workshop), job_id)
    assert (job.state, workshop.begun) == (JobState.FAILED, [])
    assert "cannot be read" in (job.error or "")


async def test_a_running_job_that_is_cancelled_stops_and_keeps_its_steps(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)
    runner = a_runner(store, workshop)
    job_id = await enqueue(store, "receive", {"sku": product.sku, "total": 4, "gate_at": 2})
    await runner.run_once()
    await until(store, job_id, lambda job: job.done == 2)
    await api.cancel_job(store.ctx, job_id)
    await runner.run_once()
    await asyncio.sleep(0.01)
    workshop.gate.set()
    job = await api.get_job(store.ctx, job_id)
    assert (job.state, await level_of(store, product)) == (JobState.CANCELLED, (2, 0))
    await api.retry_job(store.ctx, job_id)
    job = await ended(store, runner, job_id)
    assert (job.state, await level_of(store, product)) == (JobState.DONE, (4, 0)), "it went on where it was"
    with pytest.raises(NervioError, match="done allows no cancel"):
        await api.cancel_job(store.ctx, job_id)


async def test_a_job_whose_deadline_is_over_ends(store: Store, workshop: Workshop) -> None:
    deadline = store.clock.now() + 1_000_000
    running, waiting = [await enqueue(store, "wait", deadline_at=deadline) for _ in range(2)]
    runner = a_runner(store, workshop, most_at_once=1)
    await runner.run_once()
    store.clock.advance(1)
    for job_id in (running, waiting):
        job = await ended(store, runner, job_id)
        assert (job.state, job.error) == (JobState.FAILED, "The deadline was over before it was done.")


async def test_during_a_stop_nothing_begins_and_what_runs_is_parked(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)
    stops: list[Halt] = []
    runner = a_runner(store, workshop, find_blocking=lambda _tenant, _module: stops[0] if stops else None)
    job_id = await enqueue(store, "receive", {"sku": product.sku, "total": 4, "gate_at": 2}, retries=0)
    await runner.run_once()
    await until(store, job_id, lambda job: job.done == 2)
    other = await enqueue(store, "count", 1)
    await safety.freeze(store.ctx, "a drill", scope=Scope.TENANT, level=Level.ALL)
    stops.append(Halt("h", None, None, None, Level.ALL, "a drill", "tester", store.clock.now()))
    workshop.gate.set()
    job = await until(store, job_id, lambda job: job.state is JobState.WAITING)
    assert (job.attempts, job.done, job.error) == (0, 2, None)
    store.clock.advance(5)
    await runner.run_once()
    assert (await api.get_job(store.ctx, other)).state is JobState.WAITING
    with pytest.raises(NervioError):
        await enqueue(store, "count", 1)
    stops.clear()
    await runner.run_once()
    assert (await api.get_job(store.ctx, other)).attempts == 0, "what the watch does not know of yet the fence refuses"
    await safety.unfreeze(store.ctx, "over", scope=Scope.TENANT)
    assert (await ended(store, runner, job_id)).state is JobState.DONE
    assert (await ended(store, runner, other)).state is JobState.DONE
    assert await level_of(store, product) == (4, 0)


async def test_a_stop_of_what_a_job_touches_keeps_it_from_beginning(store: Store, workshop: Workshop) -> None:
    halt = Halt("h", None, "stock", None, Level.ALL, "stop", "somebody", store.clock.now())
    jobs = (Job("check.count", workshop.count), Job("check.wait", workshop.count, touches=("stock",)))

    def find_blocking(_tenant_id: str, module: str) -> Halt | None:
        return halt if module == "stock" else None

    free, stopped = await enqueue(store, "count", 1), await enqueue(store, "wait", 1)
    runner = a_runner(store, workshop, jobs=jobs, find_blocking=find_blocking)
    await ended(store, runner, free)
    assert (await api.get_job(store.ctx, stopped)).state is JobState.WAITING


async def test_a_process_that_shuts_down_parks_what_it_has(store: Store, workshop: Workshop) -> None:
    product = await a_product(store)
    job_id = await enqueue(store, "receive", {"sku": product.sku, "total": 200}, retries=0)
    async with at_work(a_runner(store, workshop)):
        await until(store, job_id, lambda job: (job.done or 0) > 2)
    job = await api.get_job(store.ctx, job_id)
    assert (job.state, job.attempts) == (JobState.WAITING, 0)
    assert 2 < (job.done or 0) < 200
    async with at_work(a_runner(store, workshop)):
        await until(store, job_id, lambda job: job.state is JobState.DONE)
    assert await level_of(store, product) == (200, 0)


async def test_an_end_that_cannot_be_written_is_written_later(store: Store, workshop: Workshop) -> None:
    job_id, line = await enqueue(store, "wait"), Line(store.database)

    class Cut(Line):
        async def submit(self, command: Command[Any, Any]) -> Any:
            if line.is_cut:
                raise OSError("the line is cut")
            return await store.database.submit(command)

    runner = a_runner(store, workshop, database=Cut(store.database))
    await runner.run_once()
    line.is_cut = True
    workshop.gate.set()
    await asyncio.sleep(0.1)
    assert (await api.get_job(store.ctx, job_id)).state is JobState.RUNNING
    line.is_cut = False
    job = await until(store, job_id, lambda job: job.state is JobState.DONE)
    assert (job.result, len(workshop.begun)) == ("waited", 1)


async def test_a_claim_whose_answer_was_lost_is_found(store: Store, workshop: Workshop) -> None:
    job_id, line = await enqueue(store, "count", 1), Line(store.database)
    runner = a_runner(store, workshop, database=line)
    line.loses_word = True
    with pytest.raises(OSError, match="cut"):
        await runner.run_once()
    assert (await api.get_job(store.ctx, job_id)).state is JobState.RUNNING
    line.loses_word = False
    assert (await ended(store, runner, job_id)).state is JobState.DONE


async def test_tenants_are_served_in_turn(store: Store, workshop: Workshop) -> None:
    other = await store.another_tenant()
    for n in range(6):
        await enqueue(store, "count", 0, priority=JobPriority.LOW if n < 5 else JobPriority.HIGH)
    last = await enqueue(other, "count", 0)
    runner = a_runner(store, workshop, most_at_once=2)
    await runner.run_once()
    await until(other, last, lambda job: job.state is JobState.DONE)
    assert [one[0] for one in workshop.begun].count(other.ctx.tenant_id) == 1
    first = [one for one in workshop.begun if one[0] == store.ctx.tenant_id]
    assert len(first) == 1
    done = await api.list_jobs(store.ctx, state=JobState.DONE)
    assert [job.priority for job in done] == [JobPriority.HIGH]
