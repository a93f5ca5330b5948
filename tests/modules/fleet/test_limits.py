"""What a tenant may use: refused where it is used up, and never by one task more."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import parse_iso, to_iso
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Limits, MoneyLimit, Period, TaskState, WaitReason
from nervio.modules.fleet.domain.limits import (
    LARGEST_LIMIT,
    Used,
    find_reached,
    free_at,
    list_quotas,
    read_limits,
    write_limits,
)
from nervio.modules.fleet.usecases.limits import LOOK_SECONDS
from nervio.modules.ledger import api as ledger
from tests.builders import Store
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report
from tests.modules.fleet.spending import CHAT, TODAY, a_usage, spend

counts = st.none() | st.integers(0, LARGEST_LIMIT)


@given(
    st.builds(
        Limits, counts, counts, counts, counts, counts,
        st.lists(st.builds(MoneyLimit, st.sampled_from(["ARS", "USD"]), counts, counts), max_size=2).map(tuple),
    )
)  # fmt: skip
def test_limits_are_read_as_they_were_written(limits: Limits) -> None:
    assert read_limits(write_limits(limits)) == limits


def test_no_limits_are_written_as_none() -> None:
    assert write_limits(Limits()) == "{}"
    assert write_limits(Limits(most_running=0)) == '{"most_running":0}'


@pytest.mark.parametrize(
    ("period", "now", "free"),
    [
        (Period.DAY, "2026-03-01T12:00:00Z", "2026-03-02T00:00:00Z"),
        (Period.DAY, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        (Period.MONTH, "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z"),
        (Period.MONTH, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (Period.MONTH, "2028-02-29T01:00:00Z", "2028-03-01T00:00:00Z"),
    ],
)
def test_a_period_ends_at_midnight_in_utc(period: Period, now: str, free: str) -> None:
    assert free_at(period, parse_iso(now, "now")) == parse_iso(free, "free")


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_limit_is_reached_from_its_own_figure_on(used: int, limit: int, spent: int, cap: int) -> None:
    now = parse_iso("2026-03-01T12:00:00Z", "now")
    sums = Used()
    sums.tasks[Period.MONTH], sums.money[Period.DAY, "USD"] = used, spent
    quotas = list_quotas(Limits(tasks_per_month=limit, money=(MoneyLimit("USD", cap),)), sums, now)

    reached = find_reached(quotas, also_tasks=True)
    assert (reached is not None) == (used >= limit or spent >= cap)
    assert (find_reached(quotas, also_tasks=False) is not None) == (spent >= cap)
    if used >= limit:
        assert reached is not None
        assert reached.period is Period.MONTH  # the one that is in the way for longer


async def refusal(store: Store, **more: Any) -> NervioError:
    with pytest.raises(NervioError) as refused:
        await fleet.submit_task(store.ctx, replace(CHAT, **more))
    assert refused.value.kind is Kind.TOO_MANY
    return refused.value


async def test_nobody_has_limits_until_somebody_sets_some(store: Store) -> None:
    state = await fleet.get_limits(store.ctx)
    assert (state.limits, state.quotas, state.running, state.changed_by) == (Limits(), (), 0, None)

    wanted = Limits(tasks_per_day=7, money=(MoneyLimit("USD", None, 5), MoneyLimit("ARS", 1), MoneyLimit("CLP")))
    await fleet.change_limits(store.ctx, wanted, "k")

    state = await fleet.get_limits(store.ctx)
    assert state.limits == Limits(tasks_per_day=7, money=(MoneyLimit("ARS", 1), MoneyLimit("USD", None, 5)))
    assert (state.changed_by, state.changed_at) == (store.ctx.actor_id, store.clock.now())
    assert [(one.measure, one.period, one.currency, one.used, one.limit) for one in state.quotas] == [
        ("tasks", "day", "", 0, 7), ("money", "day", "ARS", 0, 1), ("money", "month", "USD", 0, 5),
    ]  # fmt: skip
    (entry,) = [one for one in await ledger.list_entries(store.ctx) if one.kind == "limits_changed"]
    assert (
        entry.details is not None and entry.details["before"] == "{}" and '"tasks_per_day":7' in entry.details["after"]
    )


async def test_the_same_change_under_one_key_is_made_once(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=1), "key")
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=2), "other")
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=1), "key")

    assert (await fleet.get_limits(store.ctx)).limits.tasks_per_day == 2
    with pytest.raises(NervioError) as refused:
        await fleet.change_limits(store.ctx, Limits(tasks_per_day=3), "key")
    assert refused.value.code == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (Limits(tasks_per_day=-1), "tasks_per_day"),
        (Limits(tokens_per_month=LARGEST_LIMIT + 1), "tokens_per_month"),
        (Limits(most_running=10**7), "most_running"),
        (Limits(money=(MoneyLimit("usd", 1),)), "money[0].currency"),
        (Limits(money=(MoneyLimit("USD", -1),)), "money[0].per_day_micros"),
        (Limits(money=(MoneyLimit("USD", 1), MoneyLimit("USD", None, 1))), "money[1].currency"),
        (Limits(money=tuple(MoneyLimit("USD") for _ in range(21))), "money"),
    ],
)
async def test_what_is_wrong_with_a_limit_is_named(store: Store, limits: Limits, field: str) -> None:
    with pytest.raises(NervioError) as refused:
        await fleet.change_limits(store.ctx, limits)
    assert refused.value.data["field"] == field
    assert (await fleet.get_limits(store.ctx)).limits == Limits()


async def test_who_may_not_change_limits_is_told_so(store: Store) -> None:
    with pytest.raises(NervioError) as refused:
        await fleet.change_limits(store.permitted(fleet.READ, fleet.SUBMIT_TASKS), Limits())
    assert refused.value.data["permission"] == fleet.LIMIT
    with pytest.raises(NervioError):
        await fleet.get_limits(store.permitted(fleet.LIMIT))


async def test_a_refusal_names_the_limit_and_when_it_is_free_again(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=2))
    for _ in range(2):
        await fleet.submit_task(store.ctx, CHAT)

    error = await refusal(store, kind="embed")

    assert (error.code, error.data["used"], error.data["limit"]) == ("tasks_per_day_reached", 2, 2)
    assert error.data["free_at"] == to_iso(free_at(Period.DAY, store.clock.now()))
    assert error.data["retry_after_seconds"] == 12 * 3600
    store.clock.advance(12 * 3600)
    await fleet.submit_task(store.ctx, CHAT)
    await fleet.submit_task(store.ctx, CHAT)
    assert (await refusal(store)).code == "tasks_per_day_reached"


async def test_a_month_counts_all_its_days(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(tasks_per_month=3))
    for _ in range(3):
        await fleet.submit_task(store.ctx, CHAT)
        store.clock.advance(5 * 86_400)

    error = await refusal(store)
    assert (error.code, error.data["used"]) == ("tasks_per_month_reached", 3)
    store.clock.advance(15 * 86_400 + 43_200)
    await fleet.submit_task(store.ctx, CHAT)


async def test_of_many_at_once_as_many_are_taken_as_there_is_room_for(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=10))
    tasks = [(replace(CHAT, kind=f"kind{n % 3}"), f"key {n}") for n in range(64)]

    outcomes = await fleet.submit_tasks(store.ctx, tasks)

    assert [getattr(one, "code", "taken") for one in outcomes] == ["taken"] * 10 + ["tasks_per_day_reached"] * 54
    # The answers under those keys are kept: sent again they take no more room, and what was refused may come later.
    again = await fleet.submit_tasks(store.ctx, tasks[:11])
    assert again[:10] == outcomes[:10] and isinstance(again[10], NervioError)
    assert sum(one.submitted for one in await fleet.read_usage(store.ctx, *TODAY)) == 10
    store.clock.advance(86_400)
    (taken,) = await fleet.submit_tasks(store.ctx, tasks[10:11])
    assert not isinstance(taken, BaseException)


async def test_what_is_refused_for_another_reason_takes_no_room(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=1))
    await fleet.submit_task(store.permitted(fleet.SUBMIT_TASKS), CHAT, "key")
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=2))
    clash, taken = await fleet.submit_tasks(store.ctx, [(replace(CHAT, kind="embed"), "key"), (CHAT, None)])
    assert getattr(clash, "code", "") == "idempotency_key_reused" and not isinstance(taken, BaseException)
    await refusal(store)


@pytest.mark.parametrize(
    ("limits", "code", "unit"),
    [
        (Limits(tokens_per_day=8), "tokens_per_day_reached", "tokens"),
        (Limits(tokens_per_month=8), "tokens_per_month_reached", "tokens"),
        (Limits(money=(MoneyLimit("USD", 40_000),)), "money_per_day_reached", "0.04 USD"),
        (Limits(money=(MoneyLimit("ARS", 1), MoneyLimit("USD", None, 40_000))), "money_per_month_reached", "0.04 USD"),
    ],
)
async def test_once_it_is_used_up_nothing_is_taken_and_nothing_handed_out(
    store: Store, limits: Limits, code: str, unit: str
) -> None:
    await fleet.change_limits(store.ctx, limits)
    first, second = [await fleet.submit_task(store.ctx, CHAT) for _ in range(2)]
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        await dispatcher.report("w1", [a_report(one, usage=a_usage(40_000))])
        await dispatcher.run_once()
        assert hands.take() == []

        error = await refusal(store)
        assert error.code == code and unit in error.message
        waiting = second if one.task_id == first.id else first
        task, _ = await fleet.get_task(store.ctx, waiting.id)
        assert task.state is TaskState.WAITING
        assert await fleet.explain_waiting(store.ctx, task, stopped=False) is WaitReason.OVER_LIMIT

        # An administrator allows more: what waits goes on, at the latest after a look.
        await fleet.change_limits(store.ctx, Limits(tokens_per_day=1_000_000))
        store.clock.advance(LOOK_SECONDS)
        await dispatcher.run_once()
        assert [one.task_id for one in hands.take()] == [waiting.id]


async def test_a_new_day_hands_out_what_waited_for_it(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(money=(MoneyLimit("USD", 10),)))
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        for _ in range(2):
            await fleet.submit_task(store.ctx, CHAT)
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        await dispatcher.report("w1", [a_report(hands.take()[0], usage=a_usage(11))])
        await dispatcher.run_once()
        assert hands.take() == []
        store.clock.advance(12 * 3600)
        dispatcher.joined(hands, a_profile(boot="w1-boot-2"))
        await dispatcher.run_once()
        assert len(hands.take()) == 1


async def test_another_tenant_neither_pays_nor_waits_for_it(store: Store) -> None:
    other = await store.another_tenant()
    await fleet.change_limits(store.ctx, Limits(tasks_per_day=1, most_running=0, money=(MoneyLimit("USD", 1),)))
    await spend(other, a_usage(500_000))
    await fleet.submit_task(store.ctx, CHAT)
    await refusal(store)

    assert (await fleet.get_limits(other.ctx)).limits == Limits()
    assert [one.used for one in (await fleet.get_limits(store.ctx)).quotas] == [1, 0]
    for _ in range(3):
        await fleet.submit_task(other.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(slots=9, credit=9))
        await dispatcher.run_once()
        assert {one.tenant_id for one in hands.take()} == {other.ctx.tenant_id}


async def test_no_more_run_at_once_than_may_whoever_hands_them_out(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(most_running=3))
    tasks = [await fleet.submit_task(store.ctx, CHAT) for _ in range(12)]
    hands = [Hands("one"), Hands("two")]
    async with a_dispatcher(store, hands[0]) as first, a_dispatcher(store, hands[1]) as second:
        first.joined(hands[0], a_profile("a", slots=9, credit=9))
        second.joined(hands[1], a_profile("b", slots=9, credit=9))
        done = 0
        while done < len(tasks):
            await asyncio.gather(first.run_once(), second.run_once())
            given = [(first, "a", one) for one in hands[0].take("a")] + [
                (second, "b", one) for one in hands[1].take("b")
            ]
            assert len(given) == 3
            assert (await fleet.get_limits(store.ctx)).running == 3
            last, _ = await fleet.get_task(store.ctx, tasks[-1].id)
            if done < len(tasks) - 3:
                assert await fleet.explain_waiting(store.ctx, last, stopped=False) in (
                    WaitReason.SHARE, WaitReason.NO_WORKER,
                )  # fmt: skip
            for dispatcher, worker, one in given:
                await dispatcher.report(worker, [a_report(one)])
            done += len(given)
    assert {task.state for task in await fleet.list_tasks(store.ctx)} == {TaskState.DONE}


async def test_a_limit_of_another_currency_is_not_touched(store: Store) -> None:
    await fleet.change_limits(store.ctx, Limits(money=(MoneyLimit("EUR", 1),)))
    await spend(store, a_usage(99_000_000))
    await fleet.submit_task(store.ctx, CHAT)


async def test_the_first_tasks_of_a_new_kind_and_tenant_race_for_the_last_room(store: Store) -> None:
    """Rows that several writers make at once, of kinds that nobody had before, under one limit."""
    await fleet.change_limits(store.ctx, Limits(tasks_per_month=20))
    names = [f"k{new_id()[-8:]}" for _ in range(8)]

    async def one(n: int) -> str:
        ctx = replace(store.ctx, lane=list(type(store.ctx.lane))[n % 4])
        try:
            await fleet.submit_task(ctx, replace(CHAT, kind=names[n % 8]))
        except NervioError as refused:
            return refused.code
        return "taken"

    found = await asyncio.gather(*(one(n) for n in range(64)))

    assert found.count("taken") == 20 and found.count("tasks_per_month_reached") == 44
    assert sum(each.submitted for each in await fleet.read_usage(store.ctx, *TODAY)) == 20
