"""What a rule that tripped does: campaigns of the product pause, scopes stop, people hear of it, each once."""

from dataclasses import replace

import pytest

from nervio.kernel.ids import new_id
from nervio.modules.catalog.module import MANIFEST as CATALOG
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import actions, alerts
from nervio.modules.safety.api.rule_deeds import carry_out
from nervio.modules.safety.api.rules import READ_RULES
from nervio.modules.safety.contracts.actions import ActionKind, SaveCampaign
from nervio.modules.safety.contracts.alerts import Severity
from nervio.modules.safety.contracts.rules import Action, Reach
from nervio.modules.safety.metrics import rules as metrics
from nervio.modules.safety.module import MANIFEST as SAFETY
from nervio.modules.sales import api as sales
from nervio.ports.probes import Reading
from tests.builders import Store, a_location, a_product, a_receipt, a_sale_of, a_stocked_product
from tests.modules.safety.campaigns import a_campaign, a_connection
from tests.modules.safety.watched import Planted, real_probes, set_critical, tenant_of, trips, turn_on, watching


async def test_critical_stock_stops_the_campaigns_of_that_product_and_no_others(store: Store) -> None:
    soap, rice = [await a_stocked_product(store, 10) for _ in range(2)]
    connection = await a_connection(store)
    await a_campaign(store, connection, name="soap", products=[soap.id])
    await a_campaign(store, connection, name="both", products=[soap.id, rice.id])
    await a_campaign(store, connection, name="rice", products=[rice.id])
    await set_critical(store, soap.sku, 5)
    watch = watching(store, *real_probes())
    found, stopped = metrics.CRITICAL._value.get(), metrics.CRITICAL_STOPS._value.get()
    await sales.record_sale(store.ctx, a_sale_of((soap, 5)))
    await watch.run(store.ctx)

    (trip,) = await trips(store, "critical_stock")
    assert trip.outcome == "paused"
    booked = await actions.list_actions(store.ctx)
    assert sorted(action.campaign_name for action in booked) == ["both", "soap"]
    assert {action.kind for action in booked} == {ActionKind.PAUSE}
    assert all(soap.name in action.reason for action in booked)
    (alert,) = await alerts.list_alerts(store.ctx)
    assert (alert.severity, alert.code, alert.title) == (
        Severity.WARNING,
        "critical_stock",
        f"Critical stock: {soap.name}",
    )
    assert alert.body.startswith(f"5 of {soap.name} are left at Main")

    # A restart, and rounds without end, change nothing.
    again = watching(store, *real_probes())
    for _ in range(3):
        store.clock.advance(3)
        await again.run(store.ctx)
    assert len(await actions.list_actions(store.ctx)) == 2
    assert [each.count for each in await alerts.list_alerts(store.ctx)] == [1]
    assert metrics.CRITICAL._value.get() - found == 1
    assert metrics.CRITICAL_STOPS._value.get() - stopped == 1

    await a_receipt(store, soap, 10)
    store.clock.advance(3)
    await again.run(store.ctx)
    assert (await trips(store, "critical_stock"))[0].cleared_at is not None


async def test_a_product_without_campaigns_is_told_of_and_nothing_else_is_stopped(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    await a_campaign(store, await a_connection(store), name="another", products=[(await a_product(store)).id])
    await set_critical(store, product.sku, 5)
    await watching(store, *real_probes()).run(store.ctx)
    assert [trip.outcome for trip in await trips(store)] == ["no_campaigns"]
    assert await actions.list_actions(store.ctx) == []
    assert len(await alerts.list_alerts(store.ctx)) == 1


async def test_ads_without_stock_are_seen_and_paused(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    await a_campaign(store, await a_connection(store), name="soap", products=[product.id], daily_budget=240_000)
    await turn_on(store, "ads_without_stock", hold_seconds=0)
    watch = watching(store, *real_probes())
    await watch.run(store.ctx)
    assert await trips(store) == []
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    store.clock.advance(10)
    await watch.run(store.ctx)
    (trip,) = await trips(store)
    assert (trip.rule, trip.value, trip.outcome) == ("ads_without_stock", 240_000, "paused")


async def test_ads_without_stock_are_counted_in_each_currency_by_itself(store: Store) -> None:
    product = await a_stocked_product(store, 1)
    connection = await a_connection(store)
    for name, daily_budget, currency in (
        ("a", 240_000, "ARS"),
        ("b", 60_000, "ARS"),
        ("c", 1_000, "USD"),
        ("d", 7, "CLP"),
    ):
        given = SaveCampaign(None, connection.id, name, name, daily_budget, currency, (product.id,))
        await actions.save_campaign(store.ctx, given)
    await turn_on(store, "ads_without_stock", hold_seconds=0, trip_spend_minor=1_000)
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await watching(store, *real_probes()).run(store.ctx)
    assert sorted(trip.value for trip in await trips(store)) == [1_000, 300_000]
    said = " ".join(alert.body for alert in await alerts.list_alerts(store.ctx))
    assert "USD 10.00 a day" in said and "ARS 3000.00 a day" in said


async def test_many_trips_at_once_are_one_alert(store: Store) -> None:
    products = [await a_product(store) for _ in range(12)]
    probe = Planted("stock.critical")
    probe.readings = [
        Reading(f"{each.id}@{store.main.id}", 50, 1, each.id, store.main.id, {"product": each.name})
        for each in products
    ]
    await watching(store, probe).run(store.ctx)
    assert len(await trips(store)) == 12
    (alert,) = await alerts.list_alerts(store.ctx)
    assert alert.title == "Critical stock (12)"
    assert alert.body.endswith("and 2 more.")


async def test_a_stop_by_a_rule_may_run_out_by_itself_and_is_told_of_as_critical(store: Store) -> None:
    probe = Planted("sales.margin_fall")
    probe.plant(900, samples=50)
    await turn_on(
        store, "margin_fall", action="freeze", freeze_reach="module", freeze_minutes=30, hold_seconds=0, min_samples=1
    )
    await watching(store, probe).run(store.ctx)
    (halt,) = await safety.list_halts(store.ctx, active=True)
    assert (halt.module, halt.level, halt.activated_by) == ("sales", "reduce_only", "rule:margin_fall")
    assert halt.expires_at is not None
    found = {alert.code: alert.severity for alert in await alerts.list_alerts(store.ctx)}
    assert found["margin_fall"] is Severity.CRITICAL


async def test_what_products_cost_is_told_to_nobody_but_those_who_read_the_rules(store: Store) -> None:
    product = await a_product(store)
    await a_campaign(store, await a_connection(store), name="soap", products=[product.id])
    figures: dict[str, int | str] = {"product": product.name, "net_minor": 82_645, "cost_minor": 98_765}
    margin, fall = Planted("sales.margin"), Planted("sales.margin_fall")
    margin.readings = [Reading(product.id, -1_950, 1, product.id, figures=figures)]
    fall.readings = [Reading("", 900, 50, figures={"usual_bp": 3_187, "now_bp": 2_287})]
    await turn_on(store, "negative_margin", action="pause_campaigns", hold_seconds=0)
    freezing = {"action": "freeze", "freeze_reach": "module", "freeze_minutes": 30}
    await turn_on(store, "margin_fall", hold_seconds=0, min_samples=1, **freezing)
    await watching(store, margin, fall).run(store.ctx)

    (halt,) = await safety.list_halts(store.ctx, active=True)
    (order,) = await actions.list_actions(store.ctx)
    raised = await alerts.list_alerts(store.ctx)
    assert (halt.reason, order.reason) == ("The margin fell", f"Sold at a loss: {product.name}")
    assert {alert.title for alert in raised} >= {halt.reason, order.reason}
    for told in (halt.reason, order.reason, *(alert.title + alert.body for alert in raised)):
        assert not any(figure in told for figure in ("826", "987", "19.5", "31.87", "22.87", "9 %")), told


async def test_many_sales_at_a_loss_are_one_alert_without_their_figures(store: Store) -> None:
    probe = Planted("sales.margin")
    probe.readings = [
        Reading(new_id(), -1_950, 1, figures={"product": f"Soap {n}", "net_minor": 8, "cost_minor": 98_765})
        for n in range(7)
    ]
    await turn_on(store, "negative_margin", hold_seconds=0)
    await watching(store, probe).run(store.ctx)
    (alert,) = await alerts.list_alerts(store.ctx)
    assert "Sold at a loss: Soap 6" in alert.body and "987" not in alert.body


@pytest.mark.parametrize("role", sorted({role for roles in SAFETY.permissions.values() for role in roles}))
def test_rules_are_read_by_those_who_may_know_costs_and_by_nobody_else(role: str) -> None:
    knows_costs = role == "superadmin" or role in CATALOG.permissions["catalog.write"]
    assert knows_costs or role not in SAFETY.permissions[READ_RULES]


async def test_an_action_that_is_refused_for_good_keeps_nothing_else_waiting(store: Store) -> None:
    product = await a_product(store)
    await a_campaign(store, await a_connection(store), name="soap", products=[product.id])
    probe = Planted("stock.critical")
    probe.readings = [Reading(f"{product.id}@l", 50, 1, product.id, None, {"product": product.name})]
    await turn_on(store, "critical_stock", action="alert")
    await watching(store, probe).run(store.ctx)
    (told,) = await trips(store)
    good = replace(told, id=new_id(), action=Action.PAUSE_CAMPAIGNS, reach=Reach.CAMPAIGNS)
    bad = replace(good, id=new_id(), product_id="not an id")
    ctx = replace(store.ctx, actor_id="rule:critical_stock")
    assert await carry_out(ctx, tenant_of(store), [bad, good]) == {bad.id: "refused", good.id: "paused"}


async def test_many_trips_that_stop_one_scope_are_one_stop_and_each_place_has_its_own(store: Store) -> None:
    deposit = await a_location(store)
    probe = Planted("stock.critical")
    probe.readings = [
        Reading(f"{new_id()}@{place}", 50, 1, None, place, {"product": "Soap", "location": "Main"})
        for place in (store.main.id, deposit.id)
        for _ in range(20)
    ]
    await turn_on(store, "critical_stock", action="freeze", freeze_reach="location", freeze_minutes=30)
    await watching(store, probe).run(store.ctx)
    stops = await safety.list_halts(store.ctx, active=True)
    assert sorted(str(stop.location_id) for stop in stops) == sorted([store.main.id, deposit.id])
    assert {trip.outcome for trip in await trips(store)} == {"frozen"}
