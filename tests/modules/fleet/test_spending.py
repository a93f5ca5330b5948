"""What AI work costs: exact in millionths, in the ledger as far as it fills minor units, and nobody else's."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.kernel.money import format_micros, micros_a_minor
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import AttemptEnding, Spend, TaskState
from nervio.modules.fleet.domain.bills import minor_to_post
from nervio.modules.fleet.domain.use import LARGEST_COST, LARGEST_DAY, NOTHING, Use, use_of
from nervio.modules.fleet.metrics import COST, COSTS_NOT_COUNTED
from nervio.modules.ledger import api as ledger
from nervio.ports.workers import Ending, Verdict
from tests.builders import Store
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report, report
from tests.modules.fleet.spending import CHAT, TODAY, a_usage, check_sums, spend


@pytest.mark.parametrize(
    ("told", "use"),
    [
        (None, NOTHING),
        ("null", NOTHING),
        ("[1]", NOTHING),
        ("{", NOTHING),
        ('{"input_tokens":3,"output_tokens":5}', Use(3, 5)),
        (a_usage(7), Use(3, 5, 7, "USD")),
        (a_usage(None, None), Use(3, 5)),
        (a_usage(-1), Use(3, 5)),
        (a_usage(1.5), Use(3, 5)),
        (a_usage(True), Use(3, 5)),
        (a_usage("7"), Use(3, 5)),
        (a_usage(LARGEST_COST), Use(3, 5, LARGEST_COST, "USD")),
        (a_usage(LARGEST_COST + 1), Use(3, 5)),
        (a_usage(10**30), Use(3, 5)),
        (a_usage(7, "usd"), Use(3, 5)),
        (a_usage(7, "USDT"), Use(3, 5)),
        (a_usage(7, "ÑUU"), Use(3, 5)),
        (a_usage(7, ["USD"]), Use(3, 5)),
        (a_usage(7, read=-4, written=True), Use(0, 0, 7, "USD")),
        (a_usage(7, read=10**15, written=10**400), Use(10**12, 10**12, 7, "USD")),
    ],
)
def test_of_what_a_worker_says_only_what_makes_sense_is_counted(told: str | None, use: Use) -> None:
    assert use_of(told) == use


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_words_of_a_worker_break_the_count(told: str) -> None:
    assert use_of(told).cost_micros >= 0


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (0, "USD", "0.00"), (1, "USD", "0.000001"), (1_500_000, "USD", "1.50"), (-12_345, "USD", "-0.012345"),
        (2_000_000, "CLP", "2"), (1, "CLP", "0.000001"), (1_250_000, "KWD", "1.250"), (10**15, "USD", "1000000000.00"),
    ],
)  # fmt: skip
def test_millionths_are_written_exactly(micros: int, currency: str, text: str) -> None:
    assert format_micros(micros, currency) == text


async def test_costs_are_summed_exactly_and_posted_once_they_fill_a_cent(store: Store) -> None:
    assert await spend(store, a_usage(4_000), a_usage(5_999)) == [Verdict.ACCEPTED] * 2
    mine = (store.ctx.tenant_id, "chat", "USD")
    assert (await check_sums(store))[mine] == 9_999
    assert [one for one in await ledger.list_entries(store.ctx) if one.kind == "ai_metered"] == []

    await spend(store, a_usage(1))
    assert (await check_sums(store))[mine] == 10_000
    await spend(store, a_usage(25_000), a_usage(25_000), a_usage(9))
    assert (await check_sums(store))[mine] == 60_009

    entries = [one for one in await ledger.list_entries(store.ctx, oldest_first=True) if one.kind == "ai_metered"]
    # One sum a batch, not one a task.
    assert [[(p.debit, p.credit, p.asset, p.amount) for p in one.postings] for one in entries] == [
        [("ai_work", "ai_payable", "USD", 1)],
        [("ai_work", "ai_payable", "USD", 5)],
    ]
    assert {(one.document_id, one.reference) for one in entries} == {("ai:2026-03-01:chat", "chat")}
    assert await fleet.read_spend(store.ctx, *TODAY) == [Spend("chat", "USD", 6, 18, 30, 60_009)]


async def test_each_kind_and_currency_has_its_own_sum(store: Store) -> None:
    await spend(store, a_usage(1_000_000, "CLP"), a_usage(999_999, "CLP"), a_usage(12_345), a_usage(0))
    await spend(store, a_usage(20_000), kind="embed")
    store.clock.advance(13 * 3600)
    await spend(store, a_usage(1, "CLP"))

    meters = await check_sums(store)
    mine = {key[1:]: micros for key, micros in meters.items() if key[0] == store.ctx.tenant_id}
    assert mine == {("chat", "CLP"): 2_000_000, ("chat", "USD"): 12_345, ("embed", "USD"): 20_000}
    balances = {one.asset: one.amount for one in await ledger.list_balances(store.ctx) if one.account == "ai_work"}
    assert balances == {"CLP": 2, "USD": 3}
    assert [(one.kind, one.currency, one.tasks) for one in await fleet.read_spend(store.ctx, *TODAY)] == [
        ("chat", "CLP", 2), ("chat", "USD", 1), ("embed", "USD", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "nonsense", [a_usage(-5), a_usage(10**14), a_usage(5, "dollars"), a_usage("5"), "[]", "nonsense"]
)
async def test_a_result_is_kept_whatever_is_said_of_its_cost(store: Store, nonsense: str) -> None:
    assert await spend(store, nonsense) == [Verdict.ACCEPTED]

    (task,) = await fleet.list_tasks(store.ctx)
    assert task.state is TaskState.DONE
    assert await fleet.read_spend(store.ctx, *TODAY) == []
    await check_sums(store)


async def test_an_attempt_that_failed_may_have_cost_something(store: Store) -> None:
    assert await spend(store, a_usage(70_000), ending=Ending.FAILED) == [Verdict.ACCEPTED]

    assert await fleet.read_spend(store.ctx, *TODAY) == [Spend("chat", "USD", 0, 3, 5, 70_000)]
    (used,) = await fleet.read_usage(store.ctx, *TODAY)
    assert (used.failed, used.input_tokens, used.output_tokens) == (1, 3, 5)
    await check_sums(store)


async def test_a_result_that_cannot_be_kept_was_paid_for_all_the_same(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        broken = a_report(one, usage=a_usage(10_000), result="{")
        assert await report(dispatcher, broken) is Verdict.ACCEPTED

    assert (await fleet.get_task(store.ctx, queued.id))[1][0].ending is AttemptEnding.FAILED
    assert [one.cost_micros for one in await fleet.read_spend(store.ctx, *TODAY)] == [10_000]


async def test_what_comes_twice_or_too_late_is_counted_once(store: Store) -> None:
    await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        paid = a_report(one, usage=a_usage(30_000))
        assert await dispatcher.report("w1", [paid, paid]) == [Verdict.ACCEPTED, Verdict.LATE]
        assert await report(dispatcher, paid) is Verdict.LATE
        assert await report(dispatcher, replace(paid, token=one.token + 1)) is Verdict.LATE

    assert [one.cost_micros for one in await fleet.read_spend(store.ctx, *TODAY)] == [30_000]
    await check_sums(store)


async def test_a_day_that_is_full_of_nonsense_takes_no_more_and_loses_no_result(store: Store) -> None:
    not_counted = COSTS_NOT_COUNTED._value.get()
    most = LARGEST_DAY // LARGEST_COST
    for _ in range(most // 1000):
        await spend(store, *[a_usage(LARGEST_COST)] * 1000)
    assert await spend(store, a_usage(1)) == [Verdict.ACCEPTED]

    assert [one.cost_micros for one in await fleet.read_spend(store.ctx, *TODAY)] == [LARGEST_DAY]
    assert COSTS_NOT_COUNTED._value.get() == not_counted + 1
    await check_sums(store)


async def test_nobody_sees_or_pays_what_another_tenant_spends(store: Store) -> None:
    other = await store.another_tenant()
    await spend(other, a_usage(50_000))
    await spend(store, a_usage(20_000))

    assert [one.cost_micros for one in await fleet.read_spend(store.ctx, *TODAY)] == [20_000]
    assert [one.cost_micros for one in await fleet.read_spend(other.ctx, *TODAY)] == [50_000]
    assert {one.amount for one in await ledger.list_balances(store.ctx)} == {2, -2}
    await check_sums(store)


async def test_spend_is_counted_for_prometheus_under_few_names(store: Store) -> None:
    known, other = COST.labels("chat", "USD"), COST.labels("other", "other")
    before = known._value.get(), other._value.get()

    await spend(store, a_usage(11))
    await spend(store, a_usage(7, "ZZZ"), kind="made-up")

    assert (known._value.get() - before[0], other._value.get() - before[1]) == (11, 7)


@given(costs=st.lists(st.integers(0, 3_000_000), max_size=30), currency=st.sampled_from(["USD", "CLP", "KWD", "UYW"]))
def test_what_is_posted_step_by_step_and_what_waits_are_all_there_is(costs: list[int], currency: str) -> None:
    micros = posted = 0
    for cost in costs:
        micros += cost
        posted += minor_to_post(micros, posted, currency)
        waiting = micros - posted * micros_a_minor(currency)
        assert 0 <= waiting < micros_a_minor(currency)
    assert posted == sum(costs) // micros_a_minor(currency)


async def test_the_ledger_agrees_after_each_of_many_batches(store: Store) -> None:
    draw = random.Random(7)
    expected: Counter[tuple[str, str]] = Counter()
    for _ in range(25):
        kind = draw.choice(("chat", "embed"))
        costs = [(draw.choice((0, 1, 9_999, draw.randrange(40_000))), draw.choice(("USD", "CLP"))) for _ in range(4)]
        await spend(
            store, *(a_usage(*cost) for cost in costs), kind=kind, ending=draw.choice((Ending.DONE, Ending.FAILED))
        )
        for cost, currency in costs:
            expected[kind, currency] += cost
        if draw.random() < 0.2:
            store.clock.advance(86_400)
        found = {key[1:]: micros for key, micros in (await check_sums(store)).items() if key[0] == store.ctx.tenant_id}
        assert found == {key: micros for key, micros in expected.items() if key in found}
        assert sum(found.values()) == expected.total()
