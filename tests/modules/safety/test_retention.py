"""What of rules and alerts is pruned by age, and what stays however old it is."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import Table, func, select

from nervio.kernel.time import DAY, SECOND
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput
from nervio.modules.safety.api import alerts
from nervio.modules.safety.api.retention import list_aged
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.modules.safety.models.alerts import alert_deliveries
from nervio.modules.safety.models.alerts import alerts as alert_rows
from nervio.modules.safety.models.rules import rule_states, rule_trips
from nervio.modules.safety.usecases.delivering import AlertWorker
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, Receipt
from tests.builders import Store, prune_all
from tests.modules.safety.campaigns import VAULT
from tests.modules.safety.watched import Planted, trips, turn_on, watching

DAYS = 40
LONG = (DAYS + 1) * DAY / SECOND
RULE = "stock_invariant"


async def prune(store: Store) -> None:
    """One round of a process that has just started, in a shop that has gone on working."""
    await catalog.save_location(store.ctx, LocationInput("NEW", f"At {store.clock.now()}"))
    await prune_all(store, list_aged(DAYS, DAYS))


async def count(store: Store, table: Table) -> int:
    """The tenant's rows of a table."""
    of_tenant = select(func.count()).select_from(table).where(table.c.tenant_id == store.ctx.tenant_id)
    return int(await store.database.read(lambda c: c.execute(of_tenant).scalar_one()))


class Shop:
    """A rule that trips and clears as the test says, in one process after another."""

    def __init__(self, store: Store) -> None:
        self.store, self.probe = store, Planted("stock.findings")

    async def look(self, value: int, *, as_new: bool = True) -> None:
        if as_new:
            self.watch = watching(self.store, self.probe)
        self.probe.plant(value)
        await self.watch.run(self.store.ctx)
        self.store.clock.advance(1)
        await self.watch.run(self.store.ctx)


@pytest.fixture
async def shop(store: Store) -> Shop:
    await turn_on(store, RULE, hold_seconds=0, cooldown_seconds=0)
    return Shop(store)


async def test_a_trip_that_was_cleared_long_ago_goes_and_the_rule_can_trip_again(store: Store, shop: Shop) -> None:
    await shop.look(3)
    await shop.look(0)
    assert [await count(store, table) for table in (rule_trips, rule_states)] == [1, 1]
    store.clock.advance(LONG - 10)
    await prune(store)
    store.clock.advance(LONG)
    await prune(store)
    assert [await count(store, table) for table in (rule_trips, rule_states)] == [0, 0]
    await shop.look(3)
    (trip,) = await trips(store, RULE)
    assert (trip.value, trip.cleared_at) == (3, None)
    await shop.look(0)
    (trip,) = await trips(store, RULE)
    assert trip.cleared_at is not None


async def test_what_stands_tripped_stays_however_old_it_is(store: Store, shop: Shop) -> None:
    await shop.look(3)
    store.clock.advance(2 * LONG)
    await prune(store)
    (trip,) = await trips(store, RULE)
    assert trip.cleared_at is None
    assert await count(store, rule_states) == 1
    await shop.look(0)
    assert [one.id for one in await trips(store, RULE)] == [trip.id]


async def test_a_young_trip_stays(store: Store, shop: Shop) -> None:
    await shop.look(3)
    await shop.look(0)
    store.clock.advance(LONG / 2)
    await prune(store)
    assert [await count(store, table) for table in (rule_trips, rule_states)] == [1, 1]


class Channel:
    """A channel that takes everything, or nothing at all."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def __call__(self, _kind: str, _account: Account) -> "Channel":
        return self

    async def send(self, _message: Message) -> Receipt:
        return Receipt(self.delivery, "")

    async def close(self) -> None:
        """Holds nothing."""


async def raised(store: Store, delivery: Delivery) -> str:
    """An alert that was handed to a destination, or is still waiting there."""
    fields = {"url": "https://hooks.example/x"}
    await alerts.save_destination(store.ctx, VAULT, "Chat", "slack", fields, least_severity="info")
    alert = Alert(Severity.WARNING, "critical_stock", "Soap is out", "0 left", "soap", "/console/stock")
    found = await alerts.raise_alert(store.ctx, alert, "k")
    worker = AlertWorker(Channel(delivery), VAULT, "https://shop.example", draw=lambda: 0.0)
    await worker.run(store.ctx)
    await worker.settle()
    return found.id


async def seen(store: Store, alert_id: str) -> None:
    await alerts.acknowledge_alert(replace(store.ctx, actor_id="ana"), alert_id)


async def unseen(_store: Store, _alert_id: str) -> None:
    """Nobody looks."""


@pytest.mark.parametrize(
    ("delivery", "look", "stays"),
    [(Delivery.SENT, seen, False), (Delivery.SENT, unseen, True), (Delivery.FAILED, seen, True)],
)
async def test_an_alert_goes_once_it_was_seen_and_no_delivery_is_under_way(
    store: Store, delivery: Delivery, look: Callable[[Store, str], Awaitable[None]], stays: bool
) -> None:
    alert_id = await raised(store, delivery)
    await look(store, alert_id)
    await prune(store)
    assert [await count(store, table) for table in (alert_rows, alert_deliveries)] == [1, 1]
    store.clock.advance(LONG)
    await prune(store)
    assert [await count(store, table) for table in (alert_rows, alert_deliveries)] == [int(stays), int(stays)]


async def test_a_neighbours_alerts_are_judged_by_themselves(store: Store) -> None:
    other = await store.another_tenant()
    mine, theirs = await raised(store, Delivery.SENT), await raised(other, Delivery.SENT)
    await seen(store, mine)
    store.clock.advance(LONG)
    await prune(store)
    assert (await count(store, alert_rows), await count(other, alert_rows)) == (0, 1)
    assert (await alerts.get_alert(other.ctx, theirs)).sent == 1
