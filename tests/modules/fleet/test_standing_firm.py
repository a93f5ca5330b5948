"""What one worker, tenant or unlucky moment may not do to the others."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from nervio.db.batch import Command
from nervio.db.execution import Outcome
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Limits, SubmitTask, TaskState
from nervio.modules.fleet.usecases.drafts import Drafts
from nervio.modules.fleet.usecases.looking import MOST_TENANTS
from nervio.modules.fleet.usecases.openings import Opening
from nervio.modules.fleet.usecases.submitting import SUBMIT, Offer
from nervio.ports.workers import Assignment, Chunk, Ending, Verdict
from tests.builders import Store
from tests.modules.fleet.handing import SETTINGS, Hands, Line, a_dispatcher, a_profile, a_report, report, state_of

CHAT = SubmitTask("chat", "{}", cache=False)
ASK = SubmitTask("chat", '{"q":"¿cuánto?"}')
DEEP = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize("usage", ['{"cost_micros":1e400}', '{"input_tokens":' + DEEP + "}", "{", "\ud800"])
async def test_what_a_worker_says_that_it_used_breaks_nothing(store: Store, usage: str) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        first, follower = [await fleet.submit_task(store.ctx, ASK) for _ in range(2)]
        overdue = await fleet.submit_task(
            store.ctx, replace(CHAT, kind="ocr", deadline_at=store.clock.now() + 2 * SECOND)
        )
        await dispatcher.run_once()
        (one,) = hands.take()
        assert await report(dispatcher, a_report(one, usage=usage)) is Verdict.ACCEPTED
        store.clock.advance(3)
        await dispatcher.run_once()
    assert [await state_of(store, one.id) for one in (first, follower)] == [TaskState.DONE] * 2
    assert await state_of(store, overdue.id) is TaskState.FAILED
    assert (await fleet.submit_task(store.ctx, ASK)).state is TaskState.DONE


@pytest.mark.parametrize("what", ['{"n":1e400}', DEEP])
async def test_a_result_that_nobody_could_read_is_a_failure_that_says_so(store: Store, what: str) -> None:
    queued = await fleet.submit_task(store.ctx, replace(CHAT, retries=0))
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        assert await report(dispatcher, a_report(one, result=what)) is Verdict.ACCEPTED
    task, _ = await fleet.get_task(store.ctx, queued.id)
    assert task.state is TaskState.FAILED and task.error is not None and "JSON" in task.error


@pytest.mark.parametrize("kind", ["nobody-does", "chat"])
async def test_tenants_for_whom_nothing_can_be_done_keep_nobody_away(store: Store, kind: str) -> None:
    """Work of a kind that nobody does, and work that is to be tried later."""
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        profile = a_profile(credit=MOST_TENANTS + 10)
        dispatcher.joined(hands, profile)
        for _ in range(MOST_TENANTS + 6):
            ctx = replace(store.ctx, tenant_id=new_id())
            await fleet.submit_task(ctx, replace(CHAT, kind=kind))
        await dispatcher.run_once()
        for one in hands.take():
            failed = a_report(one, Ending.FAILED, error="later", retry_after_seconds=600.0)
            await report(dispatcher, failed)
        await dispatcher.run_once()
        for one in hands.take():
            await report(dispatcher, a_report(one, Ending.FAILED, error="later", retry_after_seconds=600.0))
        # The id of this tenant comes after all of theirs.
        last = replace(store.ctx, tenant_id=new_id())
        queued = await fleet.submit_task(last, CHAT)
        given: list[Assignment] = []
        for _ in range(3):
            await dispatcher.run_once()
            given += hands.take()
        assert [one.task_id for one in given] == [queued.id]


async def test_a_worker_whose_task_was_begun_anew_elsewhere_stops_and_has_its_slot_back(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        queued = await fleet.submit_task(store.ctx, CHAT)
        await dispatcher.run_once()
        (old,) = hands.take()
        # All before the next sweep, by which the first worker would have been told.
        dispatcher.joined(hands, a_profile("w2"))
        await fleet.cancel_task(store.ctx, queued.id)
        await fleet.retry_task(store.ctx, queued.id)
        await dispatcher.run_once()
        (new,) = hands.take("w2")
        store.clock.advance(1)
        await dispatcher.run_once()
        assert hands.cancelled == [old]
        assert {member.profile.id: member.free for member in dispatcher.roster} == {"w1": 1, "w2": 0}
        assert await report(dispatcher, a_report(old)) is Verdict.LATE
        assert await report(dispatcher, a_report(new), "w2") is Verdict.ACCEPTED


async def test_a_stranger_who_reports_a_task_takes_it_from_nobody(store: Store) -> None:
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        for name in ("w1", "w2"):
            dispatcher.joined(hands, a_profile(name))
        await fleet.submit_task(store.ctx, CHAT)
        await dispatcher.run_once()
        ((owner, (one,)),) = hands.given.items()
        stranger = "w2" if owner == "w1" else "w1"
        assert await report(dispatcher, a_report(one, result='"false"'), stranger) is Verdict.REFUSED
        assert dispatcher.roster.held() == {(one.tenant_id, one.task_id): one.token}
        both = [report(dispatcher, a_report(one), who) for who in (stranger, owner)]
        assert await asyncio.gather(*both) == [Verdict.REFUSED, Verdict.ACCEPTED]
    task, _ = await fleet.get_task(store.ctx, one.task_id)
    assert task.result == {"text": "sí"}


def test_a_late_report_ends_no_newer_answer() -> None:
    drafts, key = Drafts(), ("t", "task")
    drafts.add(Chunk(*key, 2, 0, "nue"))
    drafts.end(key, 1)
    drafts.add(Chunk(*key, 2, 1, "vo"))
    draft = drafts.find(key)
    assert draft is not None and draft.text == "nuevo"


def test_parts_that_come_before_a_lost_one_do_not_pile_up() -> None:
    drafts, key = Drafts(), ("t", "task")
    for n in range(1, 5_000):
        drafts.add(Chunk(*key, 1, n, "x"))
    drafts.add(Chunk(*key, 1, 0, "x"))
    draft = drafts.find(key)
    assert draft is not None and 1 < len(draft.text) <= 1_001


async def test_a_claim_that_was_undone_hands_nothing_over(store: Store) -> None:
    """The batch was decided, had to be run again, and the task has become one that waits for another's answer."""
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        member = next(iter(dispatcher.roster))
        other = store.ctx.command(SUBMIT, replace(ASK, size=1), None)
        other.offer = Offer(new_id(), None, "d" * 64)
        await store.database.submit(other)

        task_id = new_id()
        opening = Opening("owner", member, 1.0, Assignment(store.ctx.tenant_id, task_id, 1, "chat", "", "{}", 1, 1))
        command = store.ctx.command(SUBMIT, replace(ASK, size=1), None)
        command.offer = Offer(task_id, opening, "d" * 64)
        queued = await store.database.submit(command)
    assert (queued.state, opening.assignment) == (TaskState.WAITING, None)


async def test_nobody_asks_anew_before_those_who_waited_have_the_answer(store: Store) -> None:
    hands = Hands()
    settings = SETTINGS.model_copy(update={"cache_seconds": 0.0})
    async with a_dispatcher(store, hands, settings=settings) as dispatcher:
        dispatcher.joined(hands, a_profile())
        queued = [await fleet.submit_task(store.ctx, ASK) for _ in range(2)]
        await dispatcher.run_once()
        (one,) = hands.take()
        await report(dispatcher, a_report(one))
        queued.append(await fleet.submit_task(store.ctx, ASK))
        await dispatcher.run_once()
        assert [await state_of(store, task.id) for task in queued] == [TaskState.DONE] * 3


async def test_asking_again_counts_as_a_task(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=1))
    queued = await fleet.submit_task(store.ctx, CHAT)
    await fleet.cancel_task(store.ctx, queued.id)
    with pytest.raises(NervioError) as refusal:
        await fleet.retry_task(store.ctx, queued.id)
    assert refusal.value.kind is Kind.TOO_MANY


class Endless(Line):
    """A store whose every write takes a while, after which one more worker has joined: there is always room for more."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.ctx.database)
        self._store, self.grow = store, list[Callable[[], None]]()

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        """See `Database`."""
        outcomes = await super().submit_all(commands)
        self._store.clock.advance(0.3)
        for more in self.grow:
            more()
        return outcomes


async def test_a_backlog_without_end_does_not_keep_a_process_from_renewing_its_lease(store: Store) -> None:
    hands, line, left = Hands(), Endless(store), []
    await fleet.submit_tasks(store.ctx, [(CHAT, None)] * 60)
    behind_line = replace(store, ctx=replace(store.ctx, database=line))
    async with a_dispatcher(behind_line, hands) as dispatcher:

        def join() -> None:
            left.append(dispatcher.places.safe_until - store.clock.monotonic())
            for member in dispatcher.roster:
                dispatcher.seen(member.profile.id)
            dispatcher.joined(hands, a_profile(f"w{len(left)}"))

        join()
        line.grow.append(join)
        while sum(len(member.held) for member in dispatcher.roster) < 60:
            await dispatcher.run_once()
    assert len(left) * 0.3 > SETTINGS.owner_lease_seconds, "it took longer than a lease lasts"
    assert min(left[1:]) > 0, "nobody could have taken it for dead"
