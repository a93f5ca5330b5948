"""A request that nobody heard of again may still arrive: what is read before that must be over proves nothing."""

import pytest

from nervio.modules.safety.contracts.actions import ActionRecord, ActionState
from nervio.modules.safety.store.actions import list_in_flight
from nervio.modules.safety.usecases.sending import ActionWorker
from nervio.ports.actions import CampaignStatus
from tests.builders import Store
from tests.modules.safety.campaigns import the_action
from tests.modules.safety.platform_in_memory import Truth, a_worker, one_campaign, pause, resume, rounds


@pytest.fixture
def truth() -> Truth:
    made = Truth()
    made.answers.set()
    return made


async def lost_resume(store: Store, truth: Truth, worker: ActionWorker) -> ActionRecord:
    """A resume that left and was never heard of again."""
    truth.fails = True
    booked = await resume(store)
    await worker.run(store.ctx)
    await worker.settle()
    truth.fails = False
    assert truth.told[-1] == "resume"
    return booked


async def test_a_pause_is_confirmed_only_when_a_resume_that_was_lost_cannot_arrive_any_more(
    store: Store, truth: Truth
) -> None:
    await one_campaign(store)
    worker = a_worker(truth)
    lost = await lost_resume(store, truth, worker)
    booked = await pause(store)
    assert (await the_action(store, lost.id)).state is ActionState.SUPERSEDED
    in_flight = await store.database.read(lambda c: list_in_flight(c, store.ctx.tenant_id, store.clock.now()))
    assert [one.id for one in in_flight] == [lost.id], "a stop must say that it may still happen"
    await rounds(store, worker, 30)
    assert (truth.status, (await the_action(store, booked.id)).state) == (CampaignStatus.PAUSED, ActionState.SENT)
    truth.status = CampaignStatus.RUNNING  # there it is
    await rounds(store, worker, 60)
    assert (await the_action(store, booked.id)).state is ActionState.CONFIRMED
    assert truth.status is CampaignStatus.PAUSED, "and it was taken back"


async def test_orders_that_take_each_other_s_place_do_not_forget_what_may_still_arrive(
    store: Store, truth: Truth
) -> None:
    await one_campaign(store)
    worker = a_worker(truth)
    await lost_resume(store, truth, worker)
    await pause(store)
    truth.answers.clear()  # nothing of the next three is sent
    await resume(store)
    booked = await pause(store)
    truth.answers.set()
    await rounds(store, worker, 30)
    assert (await the_action(store, booked.id)).state is ActionState.SENT
    await rounds(store, worker, 60)
    assert (await the_action(store, booked.id)).state is ActionState.CONFIRMED
