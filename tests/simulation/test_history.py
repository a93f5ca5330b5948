"""What callers of several processes saw on a real PostgreSQL, some killed in the middle, is what one counter would have said;
and the checker that says so refuses histories that no counter can have made."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from dataclasses import replace
from math import inf
from pathlib import Path
from random import Random

import pytest

from nervio.kernel.ids import new_id
from nervio.kernel.quantity import UNIT
from tests.builders import SetClock, a_postgres_database, a_product, assert_sound, furnished, level_of
from tests.simulation.clerk import CALLERS
from tests.simulation.history import Operation, explains, first_unexplained
from tests.simulation.planting import ROOT

SECONDS = 5.0
LIVES = 3


def made_up(random: Random, length: int, lost: float = 0.05) -> list[Operation]:
    """A history of a real counter: each operation happens at a moment of its own, some answers are lost."""
    callers = 5
    value, history = 0, []
    free_from = [0.0] * callers
    for n in range(length):
        moment = float(n)
        caller = random.choice([c for c in range(callers) if free_from[c] <= moment] or [0])
        called = max(free_from[caller], moment - random.random() * 4)
        if called > moment:
            continue
        answered = moment + random.random() * 4
        free_from[caller] = answered
        change = random.choice((1, 2, -1, -1, -2, 0))
        happens = value + change >= 0
        answer: int | bool | None = value if change == 0 else happens
        value += change if happens else 0
        if random.random() < lost:
            answer, answered = None, inf
        history.append(Operation(called, answered, change, answer))
    return history


@pytest.mark.parametrize("seed", range(20))
def test_a_history_of_a_counter_is_explained(seed: int) -> None:
    assert explains(made_up(Random(seed), 200))


def test_the_last_unit_is_not_sold_twice() -> None:
    first, second = Operation(1, 4, -1, answer=True), Operation(2, 3, -1, answer=True)
    stocked = Operation(0, 0.5, 1, answer=True)
    assert explains([stocked, first, replace(second, answer=False)])
    assert explains([stocked, first, replace(second, answer=None, answered=inf)])
    assert first_unexplained([stocked, first, second]) == first


def test_what_was_acknowledged_is_seen_by_every_later_look() -> None:
    added = Operation(0, 1, 1, answer=True)
    assert explains([added, Operation(0.5, 2, 0, answer=0)]), "the look may have come first"
    assert not explains([added, Operation(1.5, 2, 0, answer=0)])


def test_what_was_refused_had_a_reason() -> None:
    added = Operation(0, 1, 2, answer=True)
    assert not explains([added, Operation(2, 3, -1, answer=False)])


def test_a_lost_write_happens_once_at_most_and_never_before_its_call() -> None:
    lost = Operation(2, inf, 1, answer=None)
    assert explains([lost, Operation(3, 4, 0, answer=1), Operation(5, 6, 0, answer=1)])
    assert explains([lost, Operation(3, 4, 0, answer=0), Operation(5, 6, 0, answer=1)])
    assert not explains([lost, Operation(3, 4, 0, answer=1), Operation(5, 6, 0, answer=0)])
    assert not explains([lost, Operation(3, 4, 0, answer=2)])
    assert not explains([lost, Operation(0, 1, 0, answer=1)])


def test_histories_that_were_tampered_with_are_refused() -> None:
    """The last look, which nothing overlaps, is off by one; an acknowledged write is taken out."""
    refused = 0
    for seed in range(40):
        history = made_up(Random(seed), 120, lost=0.0)
        end = sum(one.change for one in history if one.answer is True)
        look = Operation(1000, 1001, 0, end)
        assert explains([*history, look])
        assert not explains([*history, replace(look, answer=end + 1)])
        gone = next(one for one in history if one.change > 0)
        refused += not explains([one for one in history if one is not gone] + [look])
    assert refused == 40


def read_history(path: Path) -> dict[str, list[Operation]]:
    """What the clerks wrote down, by SKU; a last line that a kill cut in two says nothing."""
    calls: dict[str, tuple[str, Operation]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            name, sku, change, what, at, *answer = json.loads(text)
        except ValueError:
            continue
        if what == "call":
            calls[name] = (sku, Operation(at, inf, change, None))
        else:
            calls[name] = (sku, replace(calls[name][1], answered=at, answer=answer[0]))
    found = defaultdict(list)
    for sku, operation in calls.values():
        found[sku].append(operation)
    return found


@pytest.mark.slow
@pytest.mark.services("postgres")
async def test_processes_that_are_killed_leave_a_history_of_counters(postgres_url: str, tmp_path: Path) -> None:
    random = Random(new_id())
    async with a_postgres_database(postgres_url, SetClock()) as (database, url):
        store = await furnished(database, SetClock(), url)
        products = [await a_product(store) for _ in range(3)]
        skus = ",".join(product.sku for product in products)
        paths: list[Path] = []

        async def live(number: int, life: int, seconds: float, killed_after: float | None) -> None:
            path = tmp_path / f"{number}-{life}.jsonl"
            paths.append(path)
            given = [url, store.ctx.tenant_id, skus, str(path), str(1000 * number + life), str(seconds)]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.simulation.clerk", *given, cwd=ROOT, env=environment
            )
            if killed_after is not None:
                while not path.exists():  # noqa: ASYNC110 (another process makes it)
                    await asyncio.sleep(0.02)
                await asyncio.sleep(killed_after)
                process.kill()
            assert await process.wait() in {0, -9}

        async def dying(number: int) -> None:
            for life in range(LIVES):
                await live(number, life, SECONDS, 0.2 + random.random())

        await asyncio.gather(live(0, 0, SECONDS, None), live(1, 0, SECONDS, None), dying(2))
        whole = "".join(path.read_text(encoding="utf-8").rpartition("\n")[0] + "\n" for path in paths if path.exists())
        together = tmp_path / "history.jsonl"
        together.write_text(whole, encoding="utf-8")
        history = read_history(together)
        lost = 0
        for product in products:
            of_product = history[product.sku]
            lost += sum(one.is_lost for one in of_product)
            on_hand = round((await level_of(store, product))[0] * UNIT) // UNIT
            last = max(one.called for one in of_product) + 1000
            assert len(of_product) > 30
            assert first_unexplained([*of_product, Operation(last, last, 0, on_hand)]) is None
        assert 0 < lost <= LIVES * CALLERS * len(products)
        await assert_sound(store)
