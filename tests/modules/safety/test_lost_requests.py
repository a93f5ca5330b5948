"""A request that nobody heard of again may still arrive: what is read before that must be over proves nothing."""

import pytest

from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import ActionRecord, ActionState, SaveCampaign
from nervio.modules.safety.store.actions import list_in_flight
from nervio.modules.safety.usecases.sending import ActionWorker
from nervio.ports.actions import CampaignStatus
from tests.builders import Store
from tests.modules.safety.campaigns import a_campaign, a_connection, the_action
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


async def test_an_open_order_goes_along_with_a_campaign_that_moves_to_another_account(
    store: Store, truth: Truth
) -> None:
    dead, alive = await a_connection(store, name="Dead"), await a_connection(store, name="Alive")
    campaign = await a_campaign(store, dead, external_id="same-name")
    worker = a_worker(truth)
    truth.fails = True
    former = await pause(store)
    await rounds(store, worker, 3)
    moved = SaveCampaign(campaign.id, alive.id, "same-name", campaign.name, 1, "ARS", ())
    await actions.save_campaign(store.ctx, moved)
    assert (await the_action(store, former.id)).state is ActionState.SUPERSEDED
    (order,) = await actions.list_actions(store.ctx, states=[ActionState.INTENT], before=None, limit=10)
    assert (order.connection_id, order.kind, order.reason) == (alive.id, former.kind, former.reason)
    assert (await pause(store)).id == order.id, "who pauses again is told of the order that is under way there"
    truth.fails = False
    await rounds(store, worker, 3)
    assert (await the_action(store, order.id)).state is ActionState.CONFIRMED


async def test_what_was_read_of_a_campaign_is_forgotten_when_it_becomes_another(store: Store, truth: Truth) -> None:
    account = await a_connection(store)
    campaign = await a_campaign(store, account, external_id="old")
    await pause(store)
    await rounds(store, a_worker(truth), 3)
    (before,) = await actions.list_campaigns(store.ctx, after=None, limit=2)
    assert before.status == "paused"
    await actions.save_campaign(store.ctx, SaveCampaign(campaign.id, account.id, "old", "Renamed", 1, "ARS", ()))
    (renamed,) = await actions.list_campaigns(store.ctx, after=None, limit=2)
    assert renamed.status == "paused"
    await actions.save_campaign(store.ctx, SaveCampaign(campaign.id, account.id, "new", "Renamed", 1, "ARS", ()))
    (after,) = await actions.list_campaigns(store.ctx, after=None, limit=2)
    assert (after.status, after.status_at) == ("unknown", None)
