"""Booking orders to campaigns: whom they concern, what a stop lets through, and who holds whom."""

from dataclasses import replace

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import MANUAL, ActionKind, ActionState, SaveCampaign
from nervio.modules.safety.contracts.halts import Scope
from tests.builders import Store
from tests.modules.safety.campaigns import SIGNING_SECRET, VAULT, a_campaign, a_connection


async def pause(
    store: Store, products: list[str] | None = None, cause: str = "rule:1", key: str | None = None
) -> list[str]:
    booked = await actions.pause_campaigns(store.ctx, products=products, reason="no stock", cause=cause, key=key)
    return [action.campaign_name for action in booked]


async def resume(store: Store, products: list[str] | None = None, cause: str = "rule:1") -> list[str]:
    booked = await actions.resume_campaigns(store.ctx, products=products, reason="back", cause=cause, key=None)
    return [action.campaign_name for action in booked]


async def test_the_campaigns_of_a_product_are_paused_and_no_others(store: Store) -> None:
    connection = await a_connection(store)
    soap, rice = new_id(), new_id()
    await a_campaign(store, connection, name="soap", products=[soap])
    await a_campaign(store, connection, name="both", products=[soap, rice])
    await a_campaign(store, connection, name="rice", products=[rice])
    assert sorted(await pause(store, [soap])) == ["both", "soap"]
    assert await pause(store, []) == [], "no products are not all products"
    assert sorted(await pause(store)) == ["both", "rice", "soap"]


async def test_the_same_key_books_once_and_a_standing_order_gets_no_twin(store: Store) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="soap")
    first = await actions.pause_campaigns(store.ctx, products=None, reason="a", cause="r", key="k")
    again = await actions.pause_campaigns(store.ctx, products=None, reason="a", cause="r", key="k")
    other = await actions.pause_campaigns(store.ctx, products=None, reason="a", cause="r", key="other")
    assert [a.id for a in first] == [a.id for a in again] == [a.id for a in other]
    assert len(await actions.list_actions(store.ctx)) == 1
    entries = [e for e in await ledger.list_entries(store.ctx) if e.kind == "action_booked"]
    assert [entry.document_id for entry in entries] == [first[0].id]


@pytest.mark.parametrize("level", ["reduce_only", "read_only", "all"])
async def test_during_a_stop_campaigns_can_be_paused_but_not_resumed(store: Store, level: str) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="soap")
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, level=level)
    with pytest.raises(NervioError) as refused:
        await resume(store)
    assert refused.value.kind is Kind.HALTED
    assert await pause(store) == ["soap"]


@pytest.mark.parametrize("module", ["sales", "stock", "ledger"])
async def test_a_stop_of_the_modules_that_serve_buyers_keeps_campaigns_paused(store: Store, module: str) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="soap")
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, module=module, level="read_only")
    with pytest.raises(NervioError) as refused:
        await resume(store)
    assert refused.value.kind is Kind.HALTED


async def test_a_campaign_that_two_causes_hold_is_resumed_by_the_last(store: Store) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="both")
    await pause(store, cause="rule:soap")
    await pause(store, cause="rule:rice")
    assert await resume(store, cause="rule:soap") == [], "the rice is still out of stock"
    assert await resume(store, cause="rule:rice") == ["both"]


async def test_a_person_lets_go_of_every_cause(store: Store) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="both")
    await pause(store, cause="rule:soap")
    await pause(store, cause="rule:rice")
    assert await resume(store, cause=MANUAL) == ["both"]


async def test_the_later_order_takes_the_place_of_the_earlier(store: Store) -> None:
    connection = await a_connection(store)
    await a_campaign(store, connection, name="soap")
    await pause(store)
    await resume(store, cause=MANUAL)
    states = {a.kind: a.state for a in await actions.list_actions(store.ctx)}
    assert states == {ActionKind.PAUSE: ActionState.SUPERSEDED, ActionKind.RESUME: ActionState.INTENT}


async def test_secrets_are_sealed_and_told_by_name_only(store: Store) -> None:
    connection = await a_connection(store)
    assert connection.secrets_set == ("signing_secret",)
    assert SIGNING_SECRET not in repr(connection)
    # A change that names no secret keeps the one there is; a new connection cannot do without.
    kept = await actions.save_connection(
        store.ctx, VAULT, "Agency", "webhook", {"url": "https://other.example/x"}, connection_id=connection.id
    )
    assert kept.secrets_set == ("signing_secret",)
    with pytest.raises(NervioError) as refused:
        await actions.save_connection(store.ctx, VAULT, "New", "webhook", {"url": "https://other.example/x"})
    assert refused.value.data["field"] == "signing_secret"


async def test_a_neighbour_neither_sees_nor_pauses_ours(store: Store) -> None:
    other = await store.another_tenant()
    connection = await a_connection(store)
    campaign = await a_campaign(store, connection, name="ours")
    assert await pause(other) == []
    booked = await actions.pause_campaigns(
        other.ctx, products=None, campaigns=[campaign.id], reason="theirs", cause="x", key=None
    )
    assert booked == []
    assert await actions.list_campaigns(other.ctx) == []
    with pytest.raises(NervioError) as refused:
        await actions.save_campaign(other.ctx, SaveCampaign(None, connection.id, "X", "X", 1, "ARS", ()))
    assert refused.value.code == "connection_not_found"


async def test_spend_is_told_for_what_is_not_known_to_be_paused(store: Store) -> None:
    connection = await a_connection(store)
    soap, rice = sorted((new_id(), new_id()))
    one = await a_campaign(store, connection, products=[soap], daily_budget=1000)
    two = await a_campaign(store, connection, products=[soap, rice], daily_budget=500)
    spend = {one.product_id: one for one in await actions.read_spend(store.ctx)}
    assert (spend[soap].daily_budget, spend[rice].daily_budget) == (1500, 500)
    assert set(spend[soap].campaign_ids) == {one.id, two.id}


async def test_permissions(store: Store) -> None:
    nobody = replace(store.ctx, permissions=frozenset())
    for attempt in (actions.pause_campaigns, actions.resume_campaigns):
        with pytest.raises(NervioError) as refused:
            await attempt(nobody, products=None, reason="x", cause="y", key=None)
        assert refused.value.kind is Kind.FORBIDDEN
