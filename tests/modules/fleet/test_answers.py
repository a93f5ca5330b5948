"""Answers that are kept: a hundred equal questions are one call, and nobody waits for one that will not come."""

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.kernel.errors import NervioError
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Priority, SubmitTask, TaskState, WaitReason
from nervio.modules.fleet.domain.answers import HANDING_SECONDS, digest_of
from nervio.ports.workers import Ending, Verdict
from tests.builders import Store, prune_all
from tests.modules.fleet.handing import SETTINGS, Hands, a_dispatcher, a_profile, a_report, handed, report

ASK = SubmitTask("chat", '{"q":"¿cuánto?"}')
USAGE = '{"input_tokens":30,"output_tokens":5,"cost_micros":900,"currency":"USD"}'


async def ask(store: Store, count: int = 1, task: SubmitTask = ASK) -> list[str]:
    """Ids of tasks that were queued in one call."""
    queued = await fleet.submit_tasks(store.ctx, [(task, None)] * count)
    return [one.id for one in queued if not isinstance(one, BaseException)]


async def states(store: Store, ids: list[str]) -> list[TaskState]:
    return [(await fleet.get_task(store.ctx, task_id))[0].state for task_id in ids]


async def test_a_hundred_equal_questions_are_one_call(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=100, slots=100))
        ids = await ask(store, 50)
        several = await asyncio.gather(*(ask(store) for _ in range(50)))
        (only,) = await handed(dispatcher, hands)
        assert only.task_id == ids[0]
        waiting = (await fleet.get_task(store.ctx, ids[1]))[0]
        assert await fleet.explain_waiting(store.ctx, waiting, stopped=False) is WaitReason.SAME
        assert await report(dispatcher, a_report(only, usage=USAGE)) is Verdict.ACCEPTED
        assert await handed(dispatcher, hands) == []

    everybody = [*ids, *(one for (one,) in several)]
    assert await states(store, everybody) == [TaskState.DONE] * 100
    task, attempts = await fleet.get_task(store.ctx, everybody[-1])
    assert (task.result, task.attempts, attempts) == ({"text": "sí"}, 0, [])
    assert task.usage == {"cached": True, "saved": json.loads(USAGE)}
    (used,) = await fleet.read_usage(store.ctx, "2026-03-01", "2026-03-01")
    assert (used.submitted, used.done, used.cached, used.input_tokens) == (100, 100, 99, 30)
    assert (used.saved_input_tokens, used.saved_output_tokens) == (99 * 30, 99 * 5)
    (spent,) = await fleet.read_spend(store.ctx, "2026-03-01", "2026-03-01")
    assert (spent.tasks, spent.cost_micros, spent.saved_micros) == (1, 900, 99 * 900)


async def test_what_an_answer_saves_is_summed_on_the_day_it_is_given_again_and_costs_nothing(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await ask(store)
        (only,) = await handed(dispatcher, hands)
        await report(dispatcher, a_report(only, usage=USAGE))
        store.clock.advance(50_000)
        assert await states(store, await ask(store, 2)) == [TaskState.DONE] * 2
    (spent,) = await fleet.read_spend(store.ctx, "2026-03-02", "2026-03-02")
    assert (spent.tasks, spent.cost_micros, spent.saved_micros) == (0, 0, 2 * 900)


async def test_what_was_answered_is_answered_at_once_until_it_is_too_old(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await ask(store)
        (only,) = await handed(dispatcher, hands)
        await report(dispatcher, a_report(only))
        again = await fleet.submit_task(store.ctx, replace(ASK, payload='{ "q" : "¿cuánto?" }'))
        assert again.state is TaskState.DONE
        store.clock.advance(SETTINGS.cache_seconds + 1)
        dispatcher.joined(hands, a_profile())
        old = await fleet.submit_task(store.ctx, ASK)
        assert old.state is TaskState.WAITING
        assert [one.task_id for one in await handed(dispatcher, hands)] == [old.id]


async def test_nothing_is_kept_where_the_setting_says_so_and_who_waits_is_answered_all_the_same(store: Store) -> None:
    hands = Hands()
    settings = SETTINGS.model_copy(update={"cache_seconds": 0.0})
    async with a_dispatcher(store, hands, settings=settings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        ids = await ask(store, 3)
        (only,) = await handed(dispatcher, hands)
        store.clock.advance(1)
        await report(dispatcher, a_report(only))
        store.clock.advance(1)
        await dispatcher.run_once()
        assert await states(store, ids) == [TaskState.DONE] * 3
        store.clock.advance(HANDING_SECONDS)
        assert (await fleet.submit_task(store.ctx, ASK)).state is TaskState.WAITING


@pytest.mark.parametrize("end", ["fails", "cancelled", "overdue", "owner dies"])
async def test_where_the_one_that_asks_comes_to_nothing_the_next_asks(store: Store, end: str) -> None:
    hands, others = Hands(), Hands()
    deadline = store.clock.now() + 3_000_000 if end == "overdue" else None
    first_ask = replace(ASK, retries=0, deadline_at=deadline)
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        (first,) = await ask(store, 1, first_ask)
        followers = await ask(store, 3)
        (assignment,) = await handed(dispatcher, hands)
        assert assignment.task_id == first
        if end == "fails":
            await report(dispatcher, a_report(assignment, Ending.FAILED, error="no", may_help=False))
        elif end == "cancelled":
            await fleet.cancel_task(store.ctx, first)
        store.clock.advance(60 if end == "owner dies" else 4)
        async with a_dispatcher(store, others) as second:
            second.joined(others, a_profile("w2"))
            for _ in range(3):
                store.clock.advance(1)
                second.seen("w2")
                await second.run_once()
            (next_one,) = others.take("w2")
            assert next_one.task_id == followers[0]
            await report(second, a_report(next_one), "w2")
            store.clock.advance(1)
            await second.run_once()
            assert await states(store, followers) == [TaskState.DONE] * 3
            assert others.take("w2") == []


async def test_a_follower_may_be_cancelled_and_the_others_are_answered(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        ids = await ask(store, 3)
        await fleet.cancel_task(store.ctx, ids[1])
        (only,) = await handed(dispatcher, hands)
        await report(dispatcher, a_report(only))
        await dispatcher.run_once()
        assert await states(store, ids) == [TaskState.DONE, TaskState.CANCELLED, TaskState.DONE]
        # Asked again by whoever wants it all the same, it gets what is there by now.
        assert (await fleet.retry_task(store.ctx, ids[1])).state is TaskState.DONE


async def test_who_is_in_a_greater_hurry_does_not_wait_for_one_who_is_not(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        (slow,) = await ask(store, 1, replace(ASK, priority=Priority.LOW))
        (fast,) = await ask(store, 1, replace(ASK, priority=Priority.HIGH))
        (third,) = await ask(store)
        (assignment,) = await handed(dispatcher, hands)
        assert assignment.task_id == fast
        await report(dispatcher, a_report(assignment))
        (late,) = await handed(dispatcher, hands)
        assert late.task_id == slow, "it asks for itself alone now"
        assert await states(store, [fast, third]) == [TaskState.DONE] * 2


async def test_another_tenant_and_another_question_have_answers_of_their_own(store: Store) -> None:
    other = await store.another_tenant()
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(credit=10, slots=10))
        for task in (ASK, replace(ASK, payload='{"q":"¿cuándo?"}'), replace(ASK, cache=False)):
            await ask(store, 1, task)
        await ask(other)
        given = await handed(dispatcher, hands)
        assert len({(one.tenant_id, one.task_id) for one in given}) == 4
        for one in given:
            await report(dispatcher, a_report(one, result=f'"{one.task_id}"'))
        mine = await fleet.submit_task(store.ctx, ASK)
        theirs = await fleet.submit_task(other.ctx, ASK)
    found = [(await fleet.get_task(s.ctx, q.id))[0].result for s, q in ((store, mine), (other, theirs))]
    assert found[0] != found[1]


NAMES = st.text(min_size=1, max_size=5)
PAYLOADS = st.dictionaries(NAMES, st.one_of(st.integers(-(2**53), 2**53), NAMES, st.booleans(), st.none()), max_size=5)


@given(PAYLOADS)
def test_the_order_of_keys_and_blanks_make_no_other_question(payload: dict[str, object]) -> None:
    shuffled = dict(sorted(payload.items(), key=str, reverse=True))
    one = SubmitTask("chat", json.dumps(payload))
    other = SubmitTask("chat", json.dumps(shuffled, indent=3, ensure_ascii=False))
    assert digest_of(one) == digest_of(other) is not None


@given(PAYLOADS, PAYLOADS)
def test_other_payloads_kinds_and_models_are_other_questions(one: dict[str, object], other: dict[str, object]) -> None:
    task = SubmitTask("chat", json.dumps(one))
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        assert digest_of(task) != digest_of(replace(task, payload=json.dumps(other)))
    assert len({digest_of(task), digest_of(replace(task, kind="ocr")), digest_of(replace(task, model="m"))}) == 3


def test_a_kind_of_ones_own_is_asked_each_time_unless_it_says_otherwise() -> None:
    own = SubmitTask("print-label", "{}")
    assert digest_of(own) is None
    assert digest_of(replace(own, cache=True)) is not None
    assert digest_of(replace(ASK, payload="no JSON")) is None


async def test_tasks_and_answers_that_are_long_over_are_forgotten_and_what_was_used_is_not(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        (old,) = await ask(store)
        (only,) = await handed(dispatcher, hands)
        await report(dispatcher, a_report(only, usage=USAGE))
        store.clock.advance(40 * 86_400)
        new = await fleet.submit_task(store.ctx, replace(ASK, payload='{"q":"hoy"}'))
        await prune_all(store, fleet.list_aged(30))
    assert [task.id for task in await fleet.list_tasks(store.ctx)] == [new.id]
    assert (await fleet.submit_task(store.ctx, ASK)).state is TaskState.WAITING
    assert sum(one.done for one in await fleet.read_usage(store.ctx, "2026-03-01", "2026-12-31")) == 1
    with pytest.raises(NervioError):
        await fleet.get_task(store.ctx, old)
