"""Deleting connections, campaigns and destinations: when it is refused, what is gone for good, and what history keeps."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import actions, alerts
from nervio.modules.safety.contracts.actions import MANUAL, ActionState
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.safety.models.actions import ad_breakers, ad_campaign_products, ad_connections, ad_holds
from nervio.modules.safety.models.alerts import alert_destinations
from nervio.modules.safety.usecases.delivering import AlertWorker
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, Receipt
from tests.builders import Store, a_product
from tests.modules.safety.campaigns import VAULT, a_campaign, a_connection
from tests.modules.safety.platform_in_memory import Truth, a_worker, rounds
from tests.modules.safety.stops import refusal_of


async def journalled(store: Store, kind: str) -> list[tuple[str, str]]:
    return [(one.document_id, one.reference) for one in await ledger.list_entries(store.ctx, kind=kind)]


async def rows(store: Store, table: object) -> list[object]:
    of_tenant = select(table).where(table.c.tenant_id == store.ctx.tenant_id)  # type: ignore[call-overload, attr-defined]
    return list(await store.database.read(lambda c: c.execute(of_tenant).all()))


async def test_a_campaign_is_deleted_and_its_orders_keep_its_name(store: Store) -> None:
    connection, product = await a_connection(store), await a_product(store)
    campaign = await a_campaign(store, connection, name="Summer", products=[product.id], external_id="C-1")
    await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
    assert await refusal_of(actions.delete_campaign(store.ctx, campaign.id)) == "orders_under_way"
    truth = Truth()
    truth.answers.set()
    await rounds(store, a_worker(truth), 3)
    deleted = await actions.delete_campaign(store.ctx, campaign.id, "k")
    assert (deleted.id, deleted.name) == (campaign.id, "Summer")
    assert await actions.delete_campaign(store.ctx, campaign.id, "k") == deleted, "the same key is the same call"
    assert await refusal_of(actions.delete_campaign(store.ctx, campaign.id)) == "campaign_not_found"
    assert await actions.list_campaigns(store.ctx) == []
    (order,) = await actions.list_actions(store.ctx)
    assert (order.campaign_name, order.state) == ("Summer", ActionState.CONFIRMED)
    assert await journalled(store, "campaign_deleted") == [(campaign.id, "Summer")]
    assert [await rows(store, table) for table in (ad_campaign_products, ad_holds)] == [[], []]
    for act in (actions.pause_campaigns, actions.resume_campaigns):
        assert await act(store.ctx, products=None, reason="x", cause=MANUAL, key=None) == []
    again = await a_campaign(store, connection, name="Summer", external_id="C-1")
    assert again.id != campaign.id


async def test_a_pause_that_failed_is_no_longer_unconfirmed_once_its_campaign_is_gone(store: Store) -> None:
    campaign = await a_campaign(store, await a_connection(store))
    await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
    store.clock.advance(24 * 3600 + 1)
    truth = Truth(fails=True)
    truth.answers.set()
    await rounds(store, a_worker(truth))
    assert [one.state for one in await actions.list_unconfirmed(store.ctx)] == [ActionState.FAILED]
    await actions.delete_campaign(store.ctx, campaign.id)
    assert await actions.list_unconfirmed(store.ctx) == []


async def test_a_connection_is_deleted_with_its_secrets_once_it_has_no_campaigns(store: Store) -> None:
    connection = await a_connection(store, name="Agency")
    campaign = await a_campaign(store, connection)
    assert await refusal_of(actions.delete_connection(store.ctx, connection.id)) == "connection_in_use"
    await actions.delete_campaign(store.ctx, campaign.id)
    deleted = await actions.delete_connection(store.ctx, connection.id)
    assert deleted.name == "Agency"
    assert await actions.list_connections(store.ctx) == []
    (row,) = await rows(store, ad_connections)
    assert (bytes(row.sealed), row.secret_names) == (b"", "[]")  # type: ignore[attr-defined]
    assert await rows(store, ad_breakers) == []
    assert await journalled(store, "connection_deleted") == [(connection.id, "Agency")]
    assert await refusal_of(actions.delete_connection(store.ctx, connection.id)) == "connection_not_found"
    fields = {"url": "https://x.example/"}
    changed = actions.save_connection(store.ctx, VAULT, "A", "webhook", fields, connection_id=connection.id)
    assert await refusal_of(changed) == "connection_not_found"
    assert (await a_connection(store, name="Agency")).id != connection.id
    with pytest.raises(NervioError) as refused:
        await a_campaign(store, connection)
    assert refused.value.code == "connection_not_found"


async def test_a_connection_whose_last_campaign_moved_away_with_its_orders_can_be_deleted(store: Store) -> None:
    old, new = await a_connection(store, name="Old"), await a_connection(store, name="New")
    campaign = await a_campaign(store, old, external_id="C-1")
    await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
    moved = actions.SAVE_CAMPAIGN.body_type(campaign.id, new.id, "C-1", "Moved", 1, "ARS", ())
    await actions.save_campaign(store.ctx, moved)
    await actions.delete_connection(store.ctx, old.id)
    (order,) = await actions.list_unconfirmed(store.ctx)
    assert order.connection_id == new.id
    assert await refusal_of(actions.delete_connection(store.ctx, new.id)) == "connection_in_use"


class Channel:
    """A channel that takes everything and counts."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, _kind: str, _account: Account) -> "Channel":
        return self

    async def send(self, _message: Message) -> Receipt:
        self.sent += 1
        return Receipt(Delivery.SENT, "")

    async def close(self) -> None:
        """Holds nothing."""


async def test_a_destination_is_deleted_and_what_was_to_go_there_does_not(store: Store) -> None:
    fields = {"url": "https://hooks.example/x"}
    made = await alerts.save_destination(store.ctx, VAULT, "Chat", "slack", fields)
    raised = await alerts.raise_alert(store.ctx, Alert(Severity.WARNING, "c", "T", "B", "d", "/console/stock"), "k")
    deleted = await alerts.delete_destination(store.ctx, made.id, "k")
    assert await alerts.delete_destination(store.ctx, made.id, "k") == deleted
    assert await refusal_of(alerts.delete_destination(store.ctx, made.id)) == "destination_not_found"
    assert await refusal_of(alerts.try_destination(store.ctx, made.id)) == "destination_not_found"
    assert await alerts.list_destinations(store.ctx) == []
    (row,) = await rows(store, alert_destinations)
    assert (bytes(row.sealed), row.secret_names) == (b"", "[]")  # type: ignore[attr-defined]
    channel = Channel()
    worker = AlertWorker(channel, VAULT, "https://shop.example")
    await worker.run(store.ctx)
    await worker.settle()
    assert channel.sent == 0
    found = await alerts.get_alert(store.ctx, raised.id)
    assert (found.sent, found.waiting, found.failed) == (0, 0, 1)
    assert await journalled(store, "destination_deleted") == [(made.id, "Chat")]
    assert (await alerts.save_destination(store.ctx, VAULT, "Chat", "slack", fields)).id != made.id


async def test_a_stop_a_stranger_and_who_may_not_delete_nothing(store: Store) -> None:
    connection = await a_connection(store)
    campaign = await a_campaign(store, connection)
    made = await alerts.save_destination(store.ctx, VAULT, "Chat", "slack", {"url": "https://hooks.example/x"})
    attempts = (
        (actions.delete_campaign, campaign.id),
        (actions.delete_connection, connection.id),
        (alerts.delete_destination, made.id),
    )
    other = await store.another_tenant()
    for attempt, thing in attempts:
        assert (await refusal_of(attempt(other.ctx, thing))).endswith("_not_found")
        assert (await refusal_of(attempt(store.ctx, "no id"))).endswith("_not_found")
        with pytest.raises(NervioError) as refused:
            await attempt(replace(store.ctx, permissions=frozenset()), thing)
        assert refused.value.kind is Kind.FORBIDDEN
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, level="read_only")
    for attempt, thing in attempts:
        with pytest.raises(NervioError) as refused:
            await attempt(store.ctx, thing)
        assert refused.value.kind is Kind.HALTED
