"""The emergency stop in one call: whose campaigns it pauses, and that asking again books nothing twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from nervio.db.batch import Command
from nervio.db.context import Ctx
from nervio.db.execution import Outcome
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import actions, emergency
from nervio.modules.safety.contracts.actions import (
    DEADLINE_SECONDS,
    GIVE_UP_SECONDS,
    ActionKind,
    ActionState,
    EmergencyStop,
)
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.safety.settings import ActionSettings
from nervio.modules.safety.usecases.sending import ActionWorker
from tests.builders import Store
from tests.modules.safety.campaigns import VAULT, a_campaign, a_connection
from tests.modules.safety.stops import person


@pytest.fixture
async def two_shops(store: Store) -> tuple[Store, Store]:
    """Two shops of one installation with a campaign each."""
    other = await store.another_tenant()
    for shop, name in ((store, "ours"), (other, "theirs")):
        await a_campaign(shop, await a_connection(shop), name=name)
    return store, other


@pytest.fixture(autouse=True)
async def resumed(store: Store) -> Any:
    """Leaves no stop behind for the next test on the same server."""
    yield
    await safety.unfreeze(replace(store.ctx, permissions=None), "over", scope=Scope.INSTALLATION)


async def stop(ctx: Ctx, scope: Scope | None, key: str = "k", **given: Any) -> EmergencyStop:
    return await actions.execute_emergency_stop(ctx, "fire", scope=scope, key=key, wait_seconds=0, **given)


async def pauses(shop: Store) -> list[str]:
    """Whose campaigns a shop's orders are for; it has no order but pauses."""
    found = await actions.list_actions(shop.ctx)
    assert {one.kind for one in found} <= {ActionKind.PAUSE}
    return [one.campaign_name for one in found]


async def test_a_stop_of_the_installation_pauses_the_campaigns_of_every_shop(two_shops: tuple[Store, Store]) -> None:
    ours, theirs = two_shops
    stopped = await stop(person(ours, "root"), None)
    assert stopped.frozen
    assert stopped.unpaused == ()
    assert {"ours", "theirs"} <= {one.campaign_name for one in stopped.unconfirmed}
    assert (await pauses(ours), await pauses(theirs)) == (["ours"], ["theirs"])
    (order,) = await actions.list_actions(theirs.ctx)
    assert (order.requested_by, order.cause) == ("root", "emergency")


async def test_asked_again_it_books_nothing_twice(two_shops: tuple[Store, Store]) -> None:
    ours, theirs = two_shops
    first = await stop(ours.ctx, Scope.INSTALLATION)
    again = await stop(ours.ctx, Scope.INSTALLATION)
    other = await stop(ours.ctx, Scope.INSTALLATION, key="another")
    assert {one.id for one in first.unconfirmed} == {one.id for one in again.unconfirmed}
    assert {one.id for one in first.unconfirmed} == {one.id for one in other.unconfirmed}
    assert (await pauses(ours), await pauses(theirs)) == (["ours"], ["theirs"])


async def test_a_stop_of_one_shop_leaves_the_neighbours_campaigns_alone(two_shops: tuple[Store, Store]) -> None:
    ours, theirs = two_shops
    await stop(person(ours, "ana", "admin"), None)
    assert (await pauses(ours), await pauses(theirs)) == (["ours"], [])
    with pytest.raises(NervioError) as refused:
        await stop(person(ours, "ana", "admin"), Scope.INSTALLATION)
    assert refused.value.kind is Kind.FORBIDDEN
    assert await pauses(theirs) == []


async def test_more_shops_than_go_into_one_batch(
    two_shops: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "TENANTS_AT_ONCE", 1)
    await stop(two_shops[0].ctx, Scope.INSTALLATION)
    assert [await pauses(shop) for shop in two_shops] == [["ours"], ["theirs"]]


@dataclass
class Refusing:
    """A store that does not take one tenant's writes for some times."""

    inner: Any
    tenant_id: str
    times: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        refused: list[Outcome] = []
        taken = []
        for command in commands:
            if command.tenant_id == self.tenant_id and self.times:
                self.times -= 1
                refused.append(NervioError(Kind.UNAVAILABLE, "store_unavailable", "It is away."))
            else:
                taken.append(command)
                refused.append(None)
        answers = iter(await self.inner.submit_all(taken))
        return [next(answers) if one is None else one for one in refused]


async def test_a_shop_that_could_not_be_written_for_is_tried_again_and_else_named(
    two_shops: tuple[Store, Store],
) -> None:
    ours, theirs = two_shops
    away = replace(ours.ctx, database=Refusing(ours.database, theirs.ctx.tenant_id, 1))
    stopped = await stop(away, Scope.INSTALLATION, attempts=1)
    assert stopped.unpaused == (theirs.ctx.tenant_id,)
    assert (await pauses(ours), await pauses(theirs)) == (["ours"], [])
    away.database.times = 1  # type: ignore[attr-defined]
    assert (await stop(away, Scope.INSTALLATION, attempts=2)).unpaused == ()
    assert await pauses(theirs) == ["theirs"]


def test_without_settings_orders_have_the_time_that_settings_give_by_default() -> None:
    defaults = ActionSettings.model_validate({})
    assert (defaults.escalate_seconds, defaults.give_up_seconds) == (DEADLINE_SECONDS, GIVE_UP_SECONDS)


async def test_an_order_is_escalated_and_given_up_when_the_settings_say(store: Store) -> None:
    await a_campaign(store, await a_connection(store))
    (booked,) = await actions.pause_campaigns(
        store.ctx, products=None, reason="x", cause="r", key=None, deadline_seconds=20
    )
    assert booked.deadline_at == booked.created_at + 20 * SECOND

    def unreachable(_kind: str, _account: object) -> Any:
        raise NervioError(Kind.UNAVAILABLE, "away", "It is away.")

    worker = ActionWorker(
        unreachable, VAULT, lambda _tenant, _module: None, "one", policy=actions.Policy(give_up_seconds=40), parallel=0
    )
    states = []
    for _ in range(3):
        store.clock.advance(19)
        await worker.run(store.ctx)
        await worker.settle()
        states.append((await actions.get_action(store.ctx, booked.id)).state)
    assert states == [ActionState.INTENT, ActionState.ESCALATED, ActionState.FAILED]
