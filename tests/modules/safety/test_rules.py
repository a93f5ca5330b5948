"""The engine of the rules on a real store: what trips, what clears, what is recorded, and what a restart remembers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import select

from nervio.db.context import Ctx
from nervio.db.execution import Outcome
from nervio.events.safety import RULE_CHANGED, RULE_TRIPPED
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.identity.contracts import Tenant
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.safety.contracts.rules import Phase, Recorded, RecordTrip, Trip
from nervio.modules.safety.models.rules import rule_states
from nervio.modules.safety.usecases import surveillance as engine
from nervio.modules.safety.usecases.rule_records import RECORD_TRIP, trip_key
from nervio.ports.probes import Question, Reading
from tests.builders import Store, a_product
from tests.modules.safety.watched import Planted, facts, tenant_of, trips, turn_on, watching

# -- shadow, settings, holds and cool-downs --------------------------------------------------------------------------


async def test_a_shadow_says_what_it_would_have_done_and_does_nothing(store: Store) -> None:
    probe = Planted("sales.margin_fall")
    probe.plant(900, samples=50)
    await api.change_rule(store.ctx, "margin_fall", {"action": "freeze", "freeze_reach": "tenant", "hold_seconds": 0})
    await watching(store, probe).run(store.ctx)
    (trip,) = await trips(store)
    assert (trip.mode, trip.action, trip.reach, trip.outcome) == ("shadow", "freeze", "tenant", "shadow")
    assert await safety.list_halts(store.ctx, active=True) == []
    standing = {each.rule.name: each for each in await api.list_rules(store.ctx)}["margin_fall"]
    assert (standing.tripped, standing.trips_of_late, standing.shadow_trips_of_late) == (1, 1, 1)


async def test_a_freeze_goes_through_the_real_stop_in_the_rules_name_with_its_sentence(store: Store) -> None:
    probe = Planted("sales.refunds")
    probe.readings = [
        Reading(
            store.main.id,
            4_000,
            40,
            location_id=store.main.id,
            figures={"location": "Main", "now_bp": 4_100, "usual_bp": 100, "samples_count": 40},
        )
    ]
    await turn_on(store, "refunds", action="freeze", freeze_reach="location", freeze_level="read_only", hold_seconds=0)
    await watching(store, probe, language="es").run(store.ctx)
    (halt,) = await safety.list_halts(store.ctx, active=True)
    assert (halt.tenant_id, halt.location_id, halt.module, halt.level) == (
        store.ctx.tenant_id,
        store.main.id,
        None,
        "read_only",
    )
    assert halt.activated_by == "rule:refunds"
    assert halt.reason.startswith("En Main se devolvió 41 % de lo vendido; lo habitual es 1 %")
    (trip,) = await trips(store)
    assert trip.outcome == "frozen"
    # The stop is for people to end: clearing does not end it, and the rule does not stop again what a person let go.
    probe.readings = []
    store.clock.advance(60)
    await watching(store, probe).run(store.ctx)
    assert (await trips(store))[0].cleared_at is not None
    assert len(await safety.list_halts(store.ctx, active=True)) == 1


async def test_a_rule_goes_on_watching_and_can_be_changed_while_the_shop_is_stopped(store: Store) -> None:
    probe = Planted("stock.critical")
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    probe.plant(50, subject="p@l")
    watch = watching(store, probe)
    await watch.run(store.ctx)
    assert len(await trips(store)) == 1
    await api.change_rule(store.ctx, "critical_stock", {"mode": "off"})
    await watch.run(store.ctx)
    assert (await trips(store))[0].cleared_by == store.ctx.actor_id


async def test_a_cause_must_last_and_an_interruption_begins_it_anew(store: Store) -> None:
    probe = Planted("sales.discounts", seconds=1.0)
    await turn_on(store, "discounts", hold_seconds=10, min_samples=5)
    watch = watching(store, probe)

    async def feed(value: int, samples: int, seconds: float) -> int:
        probe.plant(value, samples, subject=store.main.id)
        store.clock.advance(seconds)
        await watch.run(store.ctx)
        return len(await trips(store))

    assert await feed(3_000, 50, 1) == 0
    assert await feed(3_000, 50, 9) == 0
    assert await feed(3_000, 4, 1) == 0  # too few samples: the cause is interrupted
    assert await feed(3_000, 50, 1) == 0
    assert await feed(3_000, 50, 9) == 0
    assert await feed(3_000, 50, 1) == 1
    # Waits live in memory, and a new leader begins them anew.
    assert len(probe.asked) == 6


async def test_after_a_clear_it_does_not_trip_within_the_cool_down_not_even_after_a_restart(store: Store) -> None:
    probe = Planted("ads.spend_without_stock")
    await turn_on(store, "ads_without_stock", hold_seconds=0, cooldown_seconds=100)
    product = (await a_product(store)).id

    async def feed(value: int, seconds: float) -> int:
        probe.plant(value, subject=product, product_id=product)
        store.clock.advance(seconds)
        await watching(store, probe).run(store.ctx)
        return len(await trips(store))

    assert await feed(500, 1) == 1
    assert await feed(0, 1) == 1
    assert await feed(500, 99) == 1
    assert await feed(500, 1) == 2
    assert [trip.action for trip in await trips(store)] == ["pause_campaigns"] * 2


async def test_changed_settings_let_go_of_what_tripped_and_look_at_it_anew(store: Store) -> None:
    probe = Planted("stock.critical")
    probe.plant(50, subject="p@l")
    await api.change_rule(store.ctx, "critical_stock", {"mode": "shadow"})
    watch = watching(store, probe)
    await watch.run(store.ctx)
    changed = await api.change_rule(store.ctx, "critical_stock", {"mode": "on", "trip_percent": 60})
    assert (changed.revision, changed.changed_by, changed.changed_at) == (2, "tester", store.clock.now())
    await watch.run(store.ctx)
    assert [(trip.mode, trip.cleared_by) for trip in await trips(store)] == [("on", None), ("shadow", "tester")]
    assert await facts(store, RULE_TRIPPED, RULE_CHANGED) == [RULE_CHANGED, RULE_TRIPPED, RULE_CHANGED, RULE_TRIPPED]
    kinds = [entry.kind for entry in await ledger.list_entries(store.ctx, oldest_first=True)]
    assert kinds == ["rule_changed", "rule_tripped", "rule_changed", "rule_tripped"]
    entry = (await ledger.list_entries(store.ctx, kind="rule_changed"))[0]
    assert entry.actor_id == "tester"
    assert entry.details is not None
    assert entry.details["before"] == {"mode": "shadow", "trip_percent": 100}
    assert entry.details["let_go"] == 1


async def test_settings_need_the_right_and_name_the_wrong_field(store: Store) -> None:
    with pytest.raises(NervioError) as refused:
        await api.change_rule(store.permitted("safety.rules.read"), "refunds", {"mode": "on"})
    assert refused.value.kind is Kind.FORBIDDEN
    for name, given, code in (
        ("refunds", {"trip_excess_bp": 100}, "rule_clear_not_below"),
        ("nothing", {}, "rule_not_found"),
    ):
        with pytest.raises(NervioError) as wrong:
            await api.change_rule(store.ctx, name, given)
        assert wrong.value.code == code
    assert all(each.rule.revision == 0 for each in await api.list_rules(store.ctx))


async def test_another_tenant_has_its_own_rules_and_sees_nothing_of_these(store: Store) -> None:
    probe = Planted("stock.critical")
    probe.plant(50, subject="p@l")
    await turn_on(store, "refunds", trip_excess_bp=1_600)
    await watching(store, probe).run(store.ctx)
    other = await store.another_tenant()
    assert await trips(other) == []
    standing = {each.rule.name: each for each in await api.list_rules(other.ctx)}
    assert (standing["refunds"].rule.revision, standing["critical_stock"].tripped) == (0, 0)


# -- what goes wrong -------------------------------------------------------------------------------------------------


async def test_two_leaders_at_once_trip_once(store: Store) -> None:
    probe = Planted("stock.critical")
    probe.plant(50, subject="p@l")
    one, two = watching(store, probe), watching(store, probe)
    seen: list[Outcome] = []
    real = Ctx.submit_all

    async def late(self: Ctx, commands: Sequence[object]) -> list[Outcome]:
        """Lets the other leader make its whole round between the look and the commit."""
        if not seen:
            seen.append(None)
            store.clock.advance(1)
            await two.run(store.ctx)
        return await real(self, commands)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ctx, "submit_all", late)
        await one.run(store.ctx)
    assert len(await trips(store)) == 1
    assert await facts(store, RULE_TRIPPED) == [RULE_TRIPPED]


async def test_a_trip_of_a_rule_that_was_changed_meanwhile_is_refused_and_found_again(store: Store) -> None:
    body = a_trip(number=1, revision=0)
    await turn_on(store, "critical_stock")
    with pytest.raises(NervioError) as refused:
        await store.ctx.submit(RECORD_TRIP, body, trip_key(body))
    assert refused.value.code == "rule_changed"
    now = replace(body, revision=1)
    recorded: Recorded = await store.ctx.submit(RECORD_TRIP, now, trip_key(now))
    assert [trip.id for trip in await trips(store)] == [recorded.trip_id]
    later = replace(now, number=2)
    with pytest.raises(NervioError) as moved:
        await store.ctx.submit(RECORD_TRIP, later, trip_key(later))
    assert moved.value.code == "rule_state_moved"


async def test_a_figure_that_cannot_be_read_blinds_no_other_rule_and_clears_nothing(store: Store) -> None:
    class Broken(Planted):
        async def read(self, ctx: Ctx, question: Question) -> Sequence[Reading]:
            raise OSError("away")

    probe = Planted("stock.critical")
    probe.plant(50, subject="p@l")
    await watching(store, probe).run(store.ctx)
    fall = Planted("sales.margin_fall")
    fall.plant(900, 50)
    await turn_on(store, "margin_fall", hold_seconds=0)
    await watching(store, Broken("stock.critical"), fall).run(store.ctx)
    found = {trip.rule: trip for trip in await trips(store)}
    assert found.keys() == {"critical_stock", "margin_fall"}
    assert found["critical_stock"].cleared_at is None


async def test_what_could_not_be_done_is_done_later_even_by_another_process(store: Store) -> None:
    failures = 2

    async def stubborn(ctx: Ctx, tenant: Tenant, found: Sequence[Trip]) -> Mapping[str, str]:
        nonlocal failures
        assert ctx.actor_id == "rule:critical_stock"
        if failures:
            failures -= 1
            raise OSError("the world is away")
        return {trip.id: "done" for trip in found}

    async def tenants(_ctx: Ctx) -> list[Tenant]:
        return [tenant_of(store)]

    probe = Planted("stock.critical")
    probe.plant(50, subject="p@l")
    first = engine.Surveillance([probe], stubborn, tenants)
    await first.run(store.ctx)
    await first.run(store.ctx)  # too soon to try again
    assert failures == 1
    assert (await trips(store))[0].outcome == ""
    second = engine.Surveillance([probe], stubborn, tenants)
    await second.run(store.ctx)
    assert failures == 0
    store.clock.advance(2)
    await second.run(store.ctx)
    assert [trip.outcome for trip in await trips(store)] == ["done"]


async def test_states_are_few_a_quiet_rule_writes_nothing(store: Store) -> None:
    probe = Planted("stock.critical")
    watch = watching(store, probe)
    before = await facts(store)
    for value in (500, 130, 119, 101, 500):
        probe.plant(value, subject="p@l")
        await watch.run(store.ctx)
    assert await facts(store) == before
    rows = await store.database.read(
        lambda c: c.execute(select(rule_states).where(rule_states.c.tenant_id == store.ctx.tenant_id)).all()
    )
    assert rows == []
    probe.plant(100, subject="p@l")
    await watch.run(store.ctx)
    row = await store.database.read(
        lambda c: c.execute(select(rule_states).where(rule_states.c.tenant_id == store.ctx.tenant_id)).one()
    )
    assert (row.phase, row.number) == (Phase.TRIPPED, 1)


def a_trip(*, number: int, revision: int) -> RecordTrip:
    """A trip as the engine would record it."""
    kind = api.describe("critical_stock")
    settings = kind.settings()
    return RecordTrip(
        rule=kind.name,
        subject="p@l",
        number=number,
        revision=revision,
        mode=settings.mode,
        action=settings.action,
        reach=kind.largest,
        at=1,
        value=50,
        samples=1,
        threshold=100,
        product_id=None,
        location_id=None,
        figures={},
        sentence="There is little left.",
    )
