"""What survives: a dispatcher that dies, one that is closed, a store that is lost, a stop in the middle."""

from dataclasses import replace

from nervio.db import queue
from nervio.db.halt import Halt, Level
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import AttemptEnding, SubmitTask, TaskState
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from nervio.ports.workers import Ending, Verdict
from tests.builders import Store
from tests.modules.fleet.handing import Hands, Line, a_dispatcher, a_profile, a_report, report, state_of

CHAT = SubmitTask("chat", "{}", cache=False)


async def test_what_a_dead_dispatcher_had_given_out_is_taken_over_when_its_lease_is_over(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, replace(CHAT, retries=0))
    dead, alive = Hands(), Hands()
    async with a_dispatcher(store, dead) as first:
        first.joined(dead, a_profile())
        await first.run_once()
        (lost,) = dead.take()
        # It does not run another round: to everybody else it is dead.
        async with a_dispatcher(store, alive) as second:
            second.joined(alive, a_profile("w2", boot="b"))
            store.clock.advance(4)
            second.seen("w2")
            await second.run_once()
            assert alive.take("w2") == [], "its lease still holds"
            for _ in range(2):
                store.clock.advance(4)
                second.seen("w2")
                await second.run_once()
            assert await state_of(store, queued.id) is TaskState.FAILED, "its one attempt was lost with it"
            await fleet.retry_task(store.ctx, queued.id)
            await second.run_once()
            (again,) = alive.take("w2")
            assert again.token > lost.token
            assert await report(first, a_report(lost)) is Verdict.LATE
            assert await report(second, a_report(again), "w2") is Verdict.ACCEPTED


async def test_a_worker_that_outlived_its_dispatcher_brings_its_result_to_the_next(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as first:
        first.joined(hands, a_profile())
        await first.run_once()
        (assignment,) = hands.take()
    async with a_dispatcher(store, hands) as second:
        await second.run_once()
        assert await report(second, a_report(assignment)) is Verdict.ACCEPTED
    assert await state_of(store, queued.id) is TaskState.DONE


async def test_closing_hands_back_what_local_workers_hold_and_counts_no_attempt(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands(is_local=True)
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
    task, (attempt,) = await fleet.get_task(store.ctx, queued.id)
    assert (task.state, task.attempts, attempt.ending) == (TaskState.WAITING, 0, AttemptEnding.HANDED_BACK)


async def test_a_worker_that_shuts_down_hands_back_and_counts_no_attempt(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, replace(CHAT, retries=0))
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        assert await report(dispatcher, a_report(hands.take()[0], Ending.HANDED_BACK)) is Verdict.ACCEPTED
        await dispatcher.run_once()
        (again,) = hands.take()
    assert (again.task_id, again.attempt, again.token) == (queued.id, 1, 2)


async def test_a_claim_whose_answer_was_lost_is_found_and_given_out_again(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        # As if the answer of the claim had never come: the store knows of it, nobody here does.
        dispatcher.roster.take_back((assignment.tenant_id, assignment.task_id), assignment.token)
        for _ in range(3):
            store.clock.advance(1)
            dispatcher.seen("w1")
            await dispatcher.run_once()
        (again,) = hands.take()
        assert (again.task_id, again.token) == (queued.id, 2)


async def test_during_a_stop_nothing_is_given_out_and_what_runs_may_end(store: Store) -> None:
    running = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=5))
        await dispatcher.run_once()
        (assignment,) = hands.take()
        waiting = await fleet.submit_task(store.ctx, CHAT)
        await safety.freeze(store.ctx, "a drill", scope=Scope.TENANT, level=Level.ALL)

        await dispatcher.run_once()
        assert hands.take() == []
        assert await report(dispatcher, a_report(assignment)) is Verdict.ACCEPTED
    assert await state_of(store, running.id) is TaskState.DONE
    task, attempts = await fleet.get_task(store.ctx, waiting.id)
    assert (task.state, task.attempts, attempts) == (TaskState.WAITING, 0, [])


async def test_what_a_stop_overtakes_between_claim_and_sending_goes_back(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    asked: list[str] = []
    halt = Halt("h", None, None, None, Level.ALL, "stop", "somebody", store.clock.now())

    def find_blocking(tenant_id: str, module: str) -> Halt | None:
        asked.append(module)
        return halt if len(asked) > 1 else None

    async with a_dispatcher(store, hands, find_blocking=find_blocking) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        assert hands.take() == []
        await dispatcher.run_once()
    task, (attempt,) = await fleet.get_task(store.ctx, queued.id)
    assert (task.state, task.attempts, attempt.ending) == (TaskState.WAITING, 0, AttemptEnding.HANDED_BACK)


async def test_a_report_that_cannot_be_written_down_is_to_be_repeated(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands, line = Hands(), Line(store.database)
    async with a_dispatcher(replace(store, ctx=replace(store.ctx, database=line)), hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        line.is_cut = True
        assert await report(dispatcher, a_report(assignment)) is Verdict.RETRY
        line.is_cut = False
        assert await report(dispatcher, a_report(assignment)) is Verdict.ACCEPTED
    assert await state_of(store, queued.id) is TaskState.DONE
    owned = await store.database.read(lambda c: queue.count_running(c, "fleet"))
    assert store.ctx.tenant_id not in owned
