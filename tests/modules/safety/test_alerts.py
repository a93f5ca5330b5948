"""Raising alerts: what counts up, what is sent again, and who hears of it."""

import asyncio

import pytest

from nervio.kernel.errors import NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import alerts
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.modules.safety.contracts.halts import Scope
from tests.builders import Store
from tests.modules.safety.campaigns import VAULT


def an_alert(severity: Severity = Severity.WARNING, dedup_key: str = "stock:soap") -> Alert:
    return Alert(severity, "critical_stock", "Soap is out", "0 left", dedup_key, "/console/stock")


async def a_destination(store: Store, least: str = "warning", name: str = "Slack") -> str:
    fields = {"url": "https://hooks.example/T/B/x"}
    made = await alerts.save_destination(store.ctx, VAULT, name, "slack", fields, least_severity=least)
    return made.id


async def test_the_same_alert_counts_up_within_its_window_and_is_a_new_one_after_it(store: Store) -> None:
    await a_destination(store)
    first = await alerts.raise_alert(store.ctx, an_alert(), "1")
    again = await alerts.raise_alert(store.ctx, an_alert(), "2")
    assert (again.id, again.count, again.sent_anew) == (first.id, 2, False)
    repeated = await alerts.raise_alert(store.ctx, an_alert(), "2")
    assert repeated.count == 2, "the same key is the same call"
    store.clock.advance(3601)
    later = await alerts.raise_alert(store.ctx, an_alert(), "3")
    assert later.id != first.id
    assert [(a.count, a.waiting) for a in await alerts.list_alerts(store.ctx)] == [(1, 1), (2, 1)]


async def test_it_is_sent_again_when_its_severity_rises_and_never_when_it_falls(store: Store) -> None:
    await a_destination(store)
    await a_destination(store, least="critical", name="Pager")
    await alerts.raise_alert(store.ctx, an_alert(Severity.WARNING), "1")
    risen = await alerts.raise_alert(store.ctx, an_alert(Severity.CRITICAL), "2")
    fallen = await alerts.raise_alert(store.ctx, an_alert(Severity.INFO), "3")
    assert (risen.sent_anew, fallen.sent_anew) == (True, False)
    (shown,) = await alerts.list_alerts(store.ctx)
    assert (shown.severity, shown.count, shown.waiting) == (Severity.CRITICAL, 3, 3)


async def test_many_at_once_are_one(store: Store) -> None:
    raised = await asyncio.gather(*(alerts.raise_alert(store.ctx, an_alert(), str(n)) for n in range(20)))
    assert len({one.id for one in raised}) == 1
    assert sorted(one.count for one in raised) == list(range(1, 21))


async def test_alerts_are_raised_during_a_stop(store: Store) -> None:
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    assert (await alerts.raise_alert(store.ctx, an_alert(), "1")).count == 1


async def test_nobody_sees_a_neighbours(store: Store) -> None:
    other = await store.another_tenant()
    destination = await a_destination(store)
    raised = await alerts.raise_alert(store.ctx, an_alert(), "1")
    assert await alerts.list_alerts(other.ctx) == []
    for attempt in (alerts.acknowledge_alert, alerts.get_alert):
        with pytest.raises(NervioError):
            await attempt(other.ctx, raised.id)
    with pytest.raises(NervioError):
        await alerts.try_destination(other.ctx, destination)


async def test_the_first_to_acknowledge_stays(store: Store) -> None:
    raised = await alerts.raise_alert(store.ctx, an_alert(), "1")
    await alerts.acknowledge_alert(store.ctx, raised.id)
    shown = await alerts.get_alert(store.ctx, raised.id)
    assert shown.acknowledged_by == "tester"
    assert await alerts.list_alerts(store.ctx, acknowledged=False) == []


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("port", {"port": "smtp"}),
        ("security", {"security": "none"}),
        ("recipients", {"recipients": "somebody"}),
    ],
)
async def test_a_destination_that_could_not_work_is_refused(store: Store, field: str, given: dict[str, str]) -> None:
    fields = {
        "host": "smtp.example",
        "port": "587",
        "security": "starttls",
        "sender": "a@b.test",
        "recipients": "c@d.test",
    }
    with pytest.raises(NervioError) as refused:
        await alerts.save_destination(store.ctx, VAULT, "Mail", "email", {**fields, **given})
    assert refused.value.data["field"] == field
