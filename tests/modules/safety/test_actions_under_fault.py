"""Orders and what may go wrong on our side: a worker that dies, a stop in between, a breaker that was lost, two workers."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import delete, update

from nervio.db.batch import Lane
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import ActionKind, ActionState, Step
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.safety.domain.breakers import (
    CLOSED,
    OPEN_SECONDS,
    PROBE_SECONDS,
    Breaker,
    BreakerState,
    admit,
    after_failure,
    opened,
    state_of,
)
from nervio.modules.safety.models.actions import ad_breakers
from nervio.modules.safety.usecases.acting import CLAIM, RECORD, ClaimActions, RecordStep
from nervio.ports.actions import CampaignStatus, Reading
from tests.builders import Store
from tests.modules.safety.campaigns import a_campaign, a_connection, the_action
from tests.modules.safety.platform_in_memory import Truth, a_worker, one_campaign, pause, resume, rounds


@pytest.fixture
def truth() -> Truth:
    made = Truth()
    made.answers.set()
    return made


async def test_after_the_worker_died_between_sent_and_recorded_it_is_read_back_before_anything_is_sent(
    store: Store, truth: Truth
) -> None:
    await one_campaign(store)
    booked = await pause(store)
    truth.answers.clear()
    dying = a_worker(truth)
    await dying.run(store.ctx)
    await truth.started.wait()
    assert truth.told == ["pause"]
    truth.status = CampaignStatus.PAUSED  # it arrived
    await dying.close()  # and the worker is gone: nothing of the answer is written
    truth.answers.set()
    assert (await the_action(store, booked.id)).sends == 1
    await rounds(store, a_worker(truth, "two"))
    assert truth.told == ["pause"], "the claim of the dead one still holds"
    store.clock.advance(actions.Policy().claim_seconds)
    await rounds(store, a_worker(truth, "two"))
    assert truth.told == ["pause", "read"]
    assert (await the_action(store, booked.id)).state is ActionState.CONFIRMED


async def test_a_late_worker_writes_nothing(store: Store) -> None:
    await one_campaign(store)
    booked = await pause(store)
    late = (await store.ctx.submit(CLAIM, ClaimActions("late", 45, 8), None)).actions[0]
    store.clock.advance(46)
    other = (await store.ctx.submit(CLAIM, ClaimActions("other", 45, 8), None)).actions[0]
    assert other.token > late.token
    assert (late.step, other.step) == (Step.SEND, Step.READ), "it may have been sent, so it is read first"
    body = RecordStep(late, None, Reading(CampaignStatus.PAUSED, "stale"), 0.5, actions.Policy())
    recorded = await store.ctx.submit(RECORD, body, None)
    assert recorded.is_stale
    assert (await the_action(store, booked.id)).state is ActionState.INTENT


async def test_two_workers_at_once_send_an_order_once(store: Store, truth: Truth) -> None:
    connection = await a_connection(store)
    for _ in range(6):
        await a_campaign(store, connection)
    await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
    workers = [a_worker(truth, name) for name in ("one", "two", "three")]
    await asyncio.gather(*(rounds(store, worker) for worker in workers))
    for worker in workers:
        await worker.settle()
    assert truth.told.count("pause") == 6


async def test_no_more_than_so_many_requests_are_under_way(store: Store, truth: Truth) -> None:
    connection = await a_connection(store)
    for _ in range(7):
        await a_campaign(store, connection)
    await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
    truth.answers.clear()
    worker = a_worker(truth, parallel=3)
    for _ in range(3):
        await worker.run(store.ctx)
        await asyncio.sleep(0.05)
    assert truth.most_under_way == 2, "the third place is kept for another shop"
    other = await store.another_tenant()
    await a_campaign(other, await a_connection(other))
    await actions.pause_campaigns(other.ctx, products=None, reason="x", cause="r", key=None)
    await worker.run(store.ctx)
    await asyncio.sleep(0.05)
    assert truth.most_under_way == 3, "whose pause leaves at once, whatever hangs"
    truth.answers.set()
    await worker.settle()
    await rounds(store, worker, 8)
    assert (truth.told.count("pause"), truth.most_under_way) == (8, 3)


@pytest.mark.parametrize("level", ["reduce_only", "read_only", "all"])
async def test_a_stop_keeps_a_booked_resume_from_leaving_and_counts_no_attempt(
    store: Store, truth: Truth, level: str
) -> None:
    await one_campaign(store)
    booked = await resume(store)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, level=level)
    await rounds(store, a_worker(truth), 3)
    assert truth.told == []
    now = await the_action(store, booked.id)
    assert (now.state, now.attempts, now.sends) == (ActionState.INTENT, 0, 0)
    await safety.unfreeze(store.ctx, "over", scope=Scope.TENANT)
    await rounds(store, a_worker(truth), 3)
    assert (await the_action(store, booked.id)).state is ActionState.CONFIRMED


async def test_pauses_go_out_during_a_stop_and_are_confirmed_in_it(store: Store, truth: Truth) -> None:
    await one_campaign(store)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    booked = await pause(store)
    await rounds(store, a_worker(truth, stopped=True))
    assert (await the_action(store, booked.id)).state is ActionState.CONFIRMED


async def test_a_stop_after_the_claim_is_seen_right_before_sending(store: Store, truth: Truth) -> None:
    await one_campaign(store)
    booked = await resume(store)
    await rounds(store, a_worker(truth, stopped=True), 4)
    assert truth.told == []
    now = await the_action(store, booked.id)
    assert (now.state, now.attempts) == (ActionState.INTENT, 0)


async def test_what_is_under_way_is_listed_for_the_acknowledgement_of_a_stop(store: Store, truth: Truth) -> None:
    await one_campaign(store)
    other = await store.another_tenant()
    booked = await resume(store)
    truth.answers.clear()
    worker = a_worker(truth)
    await worker.run(store.ctx)
    await truth.started.wait()
    assert truth.told == ["resume"]

    async def listed(tenant_id: str | None) -> list[str]:
        found = await store.database.read(lambda c: actions.actions_in_flight(c, tenant_id, store.clock.now()))
        return [action.id for action in found if action.id == booked.id]

    assert await listed(store.ctx.tenant_id) == await listed(None) == [booked.id]
    assert await listed(other.ctx.tenant_id) == []
    truth.answers.set()
    await worker.settle()
    assert await listed(None) == []


async def test_a_pause_that_takes_the_place_of_a_resume_is_not_confirmed_before_that_must_have_arrived(
    store: Store, truth: Truth
) -> None:
    """The resume is on its way when the pause is booked. If it arrives after the pause was read back, ads would run on."""
    await one_campaign(store)
    truth.status = CampaignStatus.PAUSED
    await resume(store)
    truth.answers.clear()
    slow = a_worker(truth, "slow")
    await slow.run(store.ctx)
    await truth.started.wait()
    assert truth.told == ["resume"]
    booked = await pause(store)
    quick = Truth(status=CampaignStatus.PAUSED)
    quick.answers.set()
    await rounds(store, a_worker(quick, "quick"), 5)
    assert (await the_action(store, booked.id)).state is ActionState.SENT
    await slow.close()
    quick.status = CampaignStatus.RUNNING  # it arrived late
    store.clock.advance(45)
    await rounds(store, a_worker(quick, "quick"), 30)
    assert (await the_action(store, booked.id)).state is ActionState.CONFIRMED
    assert quick.status is CampaignStatus.PAUSED


async def test_every_transition_is_in_the_journal_once(store: Store, truth: Truth) -> None:
    await one_campaign(store)
    booked = await pause(store)
    await rounds(store, a_worker(truth), 2)
    kinds = [e.kind for e in await ledger.list_entries(store.ctx) if e.document_id == booked.id]
    assert sorted(kinds) == ["action_booked", "action_confirmed", "action_sent"]


# -- the breaker -----------------------------------------------------------------------------------------------------


async def test_a_breaker_that_fails_open(store: Store, truth: Truth) -> None:
    """pybreaker's Redis storage: unreachable or flushed, it reads as closed, and everything goes through.

    Here the state is emptied, and then made unreadable: nothing is resumed, and pausing still goes out.
    """
    connection_id = await one_campaign(store)
    for lost in (delete(ad_breakers), update(ad_breakers).values(state="\u2603")):
        truth.told.clear()
        booked = await resume(store)
        await store.database.bookkeep(
            "prune",
            lambda c, s=lost: c.execute(s.where(ad_breakers.c.connection_id == connection_id)),  # type: ignore[misc]
        )
        if lost.is_update:
            await store.database.bookkeep(
                "prune",
                lambda c: c.execute(
                    update(ad_breakers)
                    .where(ad_breakers.c.connection_id == connection_id)
                    .values(open_until=store.clock.now() + OPEN_SECONDS * SECOND)
                ),
            )
        await rounds(store, a_worker(truth), 5)
        assert truth.told == []
        assert (await the_action(store, booked.id)).state is ActionState.INTENT
        shown = next(one for one in await actions.list_connections(store.ctx) if one.id == connection_id)
        assert shown.breaker == "open"
        paused = await pause(store)
        await rounds(store, a_worker(truth))
        assert (await the_action(store, paused.id)).state is ActionState.CONFIRMED
        truth.status = CampaignStatus.RUNNING


async def test_a_platform_that_keeps_failing_is_not_asked_to_resume(store: Store, truth: Truth) -> None:
    connection_id = await one_campaign(store)
    truth.fails = True
    await pause(store)
    await rounds(store, a_worker(truth), 15)
    shown = next(one for one in await actions.list_connections(store.ctx) if one.id == connection_id)
    assert shown.breaker == "open"
    assert truth.told.count("pause") > 1, "pausing goes on trying"
    truth.told.clear()
    await resume(store)
    await rounds(store, a_worker(truth), 5)
    assert "resume" not in truth.told
    truth.fails = False
    store.clock.advance(OPEN_SECONDS)
    await rounds(store, a_worker(truth), 3)
    assert truth.told.count("resume") == 1


def test_the_half_open_attempt_cannot_be_stuck() -> None:
    """resilience4j#903: the one attempt that is let through dies, and the breaker stays half-open for ever."""
    now = 1_000_000 * SECOND
    breaker = opened(now)
    assert admit(breaker, now + SECOND)[0] is False
    later = now + OPEN_SECONDS * SECOND
    admitted, half_open = admit(breaker, later)
    assert (admitted, half_open.state) == (True, BreakerState.HALF_OPEN)
    assert admit(half_open, later + SECOND)[0] is False, "one at a time"
    assert admit(half_open, later + PROBE_SECONDS * SECOND)[0] is True, "its time is over, dead or not"


def test_what_cannot_be_read_counts_as_open() -> None:
    assert state_of(None) is BreakerState.OPEN
    assert state_of(replace(CLOSED, state="CLOSED")) is BreakerState.OPEN
    assert admit(None, 0)[0] is False
    assert after_failure(Breaker("closed", 4, 0, 0), 0).state == BreakerState.OPEN


# -- the panic manager -----------------------------------------------------------------------------------------------


async def test_the_emergency_stop_freezes_and_pauses_and_says_what_is_confirmed(store: Store, truth: Truth) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="one")
    await a_campaign(store, connection, name="two")
    worker = a_worker(truth)
    ctx = replace(store.ctx, lane=Lane.TILL)

    async def work() -> None:
        while True:
            await worker.run(store.ctx)
            await asyncio.sleep(0.02)

    working = asyncio.create_task(work())
    stopped = await actions.execute_emergency_stop(ctx, "fire", scope=Scope.TENANT, wait_seconds=10)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await worker.settle()
    assert stopped.frozen
    assert sorted(action.campaign_name for action in stopped.confirmed) == ["one", "two"]
    assert stopped.unconfirmed == ()
    with pytest.raises(NervioError) as refused:
        await resume(store)
    assert refused.value.kind is Kind.HALTED
    kinds = {action.kind for action in await actions.list_actions(store.ctx)}
    assert kinds == {ActionKind.PAUSE}


async def test_the_emergency_stop_says_what_it_could_not_confirm(store: Store) -> None:
    await one_campaign(store)
    stopped = await actions.execute_emergency_stop(store.ctx, "fire", scope=Scope.TENANT, wait_seconds=0.05)
    assert stopped.frozen
    assert [action.state for action in stopped.unconfirmed] == [ActionState.INTENT]


async def test_a_critical_failure_is_an_alert_and_an_event(store: Store) -> None:
    raised = await actions.trigger_critical_failure(
        store.ctx, code="till_on_fire", title="The till burns", body="Really", key="k"
    )
    again = await actions.trigger_critical_failure(
        store.ctx, code="till_on_fire", title="The till burns", body="Really", key="k"
    )
    assert raised == again
    entries = [e for e in await ledger.list_entries(store.ctx) if e.kind == "critical_failure"]
    assert [entry.document_id for entry in entries] == [raised.id]
