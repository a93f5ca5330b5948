"""The dispatcher: who gets which task, and what becomes of what workers bring back."""

import asyncio
from dataclasses import replace

import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import AttemptEnding, Priority, SubmitTask, TaskState, WorkerStatus
from nervio.ports.workers import Chunk, Ending, Verdict
from tests.builders import Store
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report, report, state_of

CHAT = SubmitTask("chat", '{"q":"¿cuánto?"}', cache=False)


async def endings_of(store: Store, task_id: str) -> list[AttemptEnding]:
    return [attempt.ending for attempt in (await fleet.get_task(store.ctx, task_id))[1]]


async def test_a_task_is_done_and_its_result_kept(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        assert (assignment.task_id, assignment.payload, assignment.attempt) == (queued.id, CHAT.payload, 1)
        assert await state_of(store, queued.id) is TaskState.RUNNING

        store.clock.advance(2)
        usage = '{"input_tokens":3,"output_tokens":5,"model":"m"}'
        assert await report(dispatcher, a_report(assignment, usage=usage, seconds=1.5)) is Verdict.ACCEPTED

    task, (attempt,) = await fleet.get_task(store.ctx, queued.id)
    assert (task.state, task.result, task.worker) == (TaskState.DONE, {"text": "sí"}, "w1")
    assert (attempt.ending, attempt.worker, attempt.n) == (AttemptEnding.DONE, "w1", 1)
    (used,) = await fleet.read_usage(store.ctx, "2026-03-01", "2026-03-01")
    assert (used.done, used.worked_ms, used.input_tokens, used.output_tokens) == (1, 1500, 3, 5)
    figures = await fleet.get_statistics(store.ctx)
    assert (figures.average_seconds, figures.throughput, figures.queue_length, figures.error_rate) == (2.0, 1, 0, 0.0)


async def test_no_worker_is_given_more_than_it_takes(store: Store) -> None:
    for _ in range(5):
        await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=2))
        await dispatcher.run_once()
        first, second = hands.take()
        await dispatcher.run_once()
        assert hands.take() == []
        await report(dispatcher, a_report(first))
        await dispatcher.run_once()
        assert len(hands.take()) == 1
        assert second.task_id != first.task_id


async def test_a_task_that_fails_is_tried_again_after_a_pause_and_in_the_end_given_up(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, replace(CHAT, retries=1))
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (first,) = hands.take()
        assert await report(dispatcher, a_report(first, Ending.FAILED, error="no")) is Verdict.ACCEPTED
        await dispatcher.run_once()
        assert hands.take() == [], "it waits for its pause"
        store.clock.advance(1)
        dispatcher.seen("w1")
        await dispatcher.run_once()
        (second,) = hands.take()
        assert (second.token, second.attempt) == (2, 2)
        await report(dispatcher, a_report(second, Ending.FAILED, error="no again"))

    task, attempts = await fleet.get_task(store.ctx, queued.id)
    assert (task.state, task.error) == (TaskState.FAILED, "no again")
    assert [attempt.error for attempt in attempts] == ["no", "no again"]
    figures = await fleet.get_statistics(store.ctx)
    assert (figures.total_errors, figures.error_rate, figures.last_error) == (2, 1.0, "no again")


async def test_what_cannot_be_helped_is_not_tried_again(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        await report(dispatcher, a_report(assignment, Ending.FAILED, error="payload.texts is missing", may_help=False))
    assert await state_of(store, queued.id) is TaskState.FAILED


async def test_a_provider_that_asks_for_patience_gets_it(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        await report(dispatcher, a_report(assignment, Ending.FAILED, error="429", retry_after_seconds=40.0))
    task, _ = await fleet.get_task(store.ctx, queued.id)
    assert task.run_at == store.clock.now() + 40_000_000


async def test_the_work_of_a_worker_that_is_gone_runs_elsewhere_and_its_late_result_is_refused(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile("w1"))
        await dispatcher.run_once()
        (first,) = hands.take("w1")
        dispatcher.joined(hands, a_profile("w2"))
        dispatcher.left("w1", "w1-boot-1", "its line broke")
        await dispatcher.run_once()
        (second,) = hands.take("w2")

        assert await report(dispatcher, a_report(first, result='"late"'), "w1") is Verdict.LATE
        assert await report(dispatcher, a_report(second, result='"in time"'), "w2") is Verdict.ACCEPTED
        assert await report(dispatcher, a_report(second, result='"again"'), "w2") is Verdict.LATE

    task, _ = await fleet.get_task(store.ctx, queued.id)
    assert task.result == "in time"
    assert await endings_of(store, queued.id) == [AttemptEnding.LOST, AttemptEnding.DONE]


async def test_the_farewell_of_an_earlier_boot_does_not_touch_the_new_one(store: Store) -> None:
    hands = Hands()
    await fleet.submit_task(store.ctx, CHAT)
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(boot="old"))
        dispatcher.joined(hands, a_profile(boot="new"))
        await dispatcher.run_once()
        dispatcher.left("w1", "old", "its last will came late")
        assert len(hands.take()) == 1
        assert len(dispatcher.roster.held()) == 1


async def test_what_an_earlier_boot_held_is_lost(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        hands.take()
        dispatcher.joined(hands, a_profile(boot="another"))
        await dispatcher.run_once()
        assert [assignment.token for assignment in hands.take()] == [2]
    assert await endings_of(store, queued.id) == [AttemptEnding.LOST]


async def test_a_worker_that_falls_silent_is_given_up(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        hands.take()
        store.clock.advance(4.9)
        await dispatcher.run_once()
        assert len(dispatcher.roster) == 1
        store.clock.advance(0.6)
        await dispatcher.run_once()
        assert len(dispatcher.roster) == 0
        assert await state_of(store, queued.id) is TaskState.WAITING
        store.clock.advance(3)
        await dispatcher.run_once()
        (worker,) = [one for one in await fleet.list_workers(store.ctx) if one.id == "w1"]
        assert worker.status is WorkerStatus.GONE


async def test_a_worker_that_cannot_be_reached_is_given_up_and_nothing_is_lost(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    broken, whole = Hands(is_broken=True), Hands()
    async with a_dispatcher(store, broken, whole) as dispatcher:
        dispatcher.joined(broken, a_profile("w1"))
        await dispatcher.run_once()
        dispatcher.joined(whole, a_profile("w2"))
        await dispatcher.run_once()
        assert [assignment.task_id for assignment in whole.take("w2")] == [queued.id]


async def test_a_task_that_is_cancelled_stops_at_its_worker(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        await fleet.cancel_task(store.ctx, queued.id)
        store.clock.advance(1)
        await dispatcher.run_once()
        assert hands.cancelled == [assignment]
        assert await report(dispatcher, a_report(assignment)) is Verdict.LATE
    assert await state_of(store, queued.id) is TaskState.CANCELLED
    assert await endings_of(store, queued.id) == [AttemptEnding.CANCELLED]


async def test_what_is_overdue_ends_whether_it_waits_or_runs(store: Store) -> None:
    soon = store.clock.now() + 2_000_000
    running = await fleet.submit_task(store.ctx, replace(CHAT, deadline_at=soon))
    waiting = await fleet.submit_task(store.ctx, replace(CHAT, deadline_at=soon, priority=Priority.LOW))
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        for _ in range(2):
            store.clock.advance(2)
            dispatcher.seen("w1")
            await dispatcher.run_once()
        assert hands.cancelled == [assignment]
    assert await endings_of(store, running.id) == [AttemptEnding.OVERDUE]
    for task in (running, waiting):
        assert await state_of(store, task.id) is TaskState.FAILED


async def test_a_result_that_is_too_large_fails_the_task_and_says_so(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        await report(dispatcher, a_report(assignment, result='"' + "x" * 16_777_216 + '"'))
    task, _ = await fleet.get_task(store.ctx, queued.id)
    assert task.state is TaskState.FAILED
    assert task.error is not None and "Store it as a file" in task.error


@pytest.mark.parametrize("result", ["not json", "", '{"a":'])
async def test_a_result_that_is_no_json_fails_the_task(store: Store, result: str) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        await report(dispatcher, a_report(assignment, result=result))
    task, _ = await fleet.get_task(store.ctx, queued.id)
    assert task.state is TaskState.FAILED
    assert task.error is not None and "JSON" in task.error


async def test_a_report_for_somebody_elses_task_is_refused(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile("w1"))
        await dispatcher.run_once()
        (assignment,) = hands.take()
        assert await report(dispatcher, a_report(assignment, result='"forged"'), "w2") is Verdict.REFUSED
        unknown = replace(a_report(assignment), task_id=assignment.tenant_id)
        assert await report(dispatcher, unknown) is Verdict.REFUSED
        assert await report(dispatcher, a_report(assignment)) is Verdict.ACCEPTED
    assert (await fleet.get_task(store.ctx, queued.id))[0].result == {"text": "sí"}


async def test_two_reports_of_one_attempt_at_once_are_taken_once(store: Store) -> None:
    await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        told = await dispatcher.report("w1", [a_report(assignment), a_report(assignment, result='"b"')])
    assert sorted(told) == [Verdict.ACCEPTED, Verdict.LATE]


async def test_parts_of_an_answer_are_shown_while_the_attempt_is_the_newest(store: Store) -> None:
    await fleet.submit_task(store.ctx, CHAT)
    hands, drafts = Hands(), fleet.Drafts()
    async with a_dispatcher(store, hands, drafts=drafts) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token, 0, "hola"))
        dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token - 1, 0, "old"))
        draft = drafts.find((one.tenant_id, one.task_id))
        assert draft is not None and draft.text == "hola"
        await report(dispatcher, a_report(one))
        dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token, 1, "after the end"))
        assert drafts.find((one.tenant_id, one.task_id)) is None


async def test_fair_shares_hold_over_rounds_of_a_real_queue(store: Store) -> None:
    other = await store.another_tenant()
    await fleet.submit_tasks(store.ctx, [(CHAT, None)] * 60)
    await fleet.submit_tasks(other.ctx, [(CHAT, None)] * 20)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=4, slots=4))
        seen: list[str] = []
        for _ in range(10):
            await dispatcher.run_once()
            for assignment in hands.take():
                seen.append(assignment.tenant_id)
                await report(dispatcher, a_report(assignment, seconds=1.0))
        assert len(seen) == 40
        assert abs(seen.count(store.ctx.tenant_id) - 20) <= 2


async def test_two_dispatchers_never_give_out_the_same_task(store: Store) -> None:
    await fleet.submit_tasks(store.ctx, [(CHAT, None)] * 40)
    one, two = Hands(), Hands()
    async with a_dispatcher(store, one) as first, a_dispatcher(store, two) as second:
        first.joined(one, a_profile("w1", credit=20))
        second.joined(two, a_profile("w2", credit=20))
        await asyncio.gather(first.run_once(), second.run_once())
        await asyncio.gather(first.run_once(), second.run_once())
        ids = [assignment.task_id for assignment in (*one.take("w1"), *two.take("w2"))]
    assert len(ids) == len(set(ids)) == 40


async def test_nobody_is_asked_to_retry_what_is_done(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        await report(dispatcher, a_report(hands.take()[0]))
    for deed in (fleet.retry_task, fleet.cancel_task):
        with pytest.raises(NervioError) as refused:
            await deed(store.ctx, queued.id)
        assert refused.value.code == "work_state"


@pytest.mark.parametrize(
    "wrong", [{"task_id": "no id"}, {"tenant_id": "'; DROP TABLE"}, {"token": -1}, {"token": 2**70}, {"task_id": ""}]
)
async def test_a_report_that_names_nothing_is_refused_and_costs_no_other_report(
    store: Store, wrong: dict[str, object]
) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (assignment,) = hands.take()
        told = await dispatcher.report("w1", [replace(a_report(assignment), **wrong), a_report(assignment)])  # type: ignore[arg-type]
    assert told == [Verdict.REFUSED, Verdict.ACCEPTED]
    assert await state_of(store, queued.id) is TaskState.DONE


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -5.0, 1e300])
async def test_a_worker_that_cannot_tell_the_time_spoils_nothing(store: Store, seconds: float) -> None:
    queued = await fleet.submit_task(store.ctx, replace(CHAT, retries=1))
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (first,) = hands.take()
        failed = a_report(first, Ending.FAILED, error="later", seconds=seconds, retry_after_seconds=seconds)
        assert await report(dispatcher, failed) is Verdict.ACCEPTED
        store.clock.advance(86_401)
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (second,) = hands.take()
        assert await report(dispatcher, a_report(second, seconds=seconds)) is Verdict.ACCEPTED
    task, _ = await fleet.get_task(store.ctx, queued.id)
    assert task.state is TaskState.DONE
    (used,) = await fleet.read_usage(store.ctx, "2026-03-01", "2026-03-03")
    assert 0 <= used.worked_ms <= 30 * 86_400_000
