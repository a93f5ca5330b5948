"""The load driver against small contenders in memory: what it counts is what happened."""

import asyncio
from itertools import islice
from random import Random
from uuid import UUID

import pytest

from bench.stock import load
from bench.stock.load import HOT, ZIPF, HungError, Mix, keys, rush, steady


class Shelf:
    """Sells exactly what it has; `seconds` is how long a sale takes."""

    def __init__(self, units: list[int], seconds: float = 0.0) -> None:
        self.left, self.seconds, self.keys, self.at_once, self.most_at_once = units, seconds, set[str](), 0, 0

    async def sell(self, sku: int, key: str) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        assert key not in self.keys
        self.keys.add(key)
        if self.left[sku] < 1:
            return False
        self.left[sku] -= 1
        return True


async def test_a_rush_makes_each_attempt_once_and_counts_both_answers() -> None:
    shelf = Shelf([20])
    measured = await rush(shelf.sell, HOT, attempts=200, callers=200, seed=1)
    assert (measured.answers.sold, measured.answers.refused, measured.answers.failed) == ((20,), 180, 0)
    assert shelf.most_at_once == 200
    assert len(measured.sold_keys) == 20


async def test_a_rush_with_fewer_callers_shares_the_attempts() -> None:
    shelf = Shelf([1000])
    measured = await rush(shelf.sell, HOT, attempts=101, callers=7, seed=1)
    assert measured.answers.attempts == 101
    assert shelf.most_at_once == 7


async def test_a_steady_load_keeps_every_caller_busy_and_counts_only_the_window() -> None:
    shelf = Shelf([100_000], seconds=0.01)
    measured = await steady(shelf.sell, HOT, callers=8, warm_seconds=0.05, seconds=0.3, seed=1)
    assert shelf.most_at_once == 8
    assert shelf.left == [100_000 - sum(measured.answers.sold)]
    # Eight callers of 10 ms a sale cannot sell more than 800 a second; warm-up and drain are sold but not counted.
    assert 0 < measured.tps <= 830
    assert sum(measured.answers.sold) > measured.tps * 0.3
    assert 9 < measured.p50_ms <= measured.p99_ms


async def test_the_window_waits_for_a_caller_that_is_slow_to_start() -> None:
    first = True

    async def sell(_sku: int, _key: str) -> bool:
        nonlocal first
        slow, first = first, False
        await asyncio.sleep(0.3 if slow else 0.001)
        return True

    measured = await steady(sell, HOT, callers=2, warm_seconds=0.1, seconds=0.1, seed=1)
    assert measured.p99_ms < 300


async def test_refusals_do_not_count_as_sales_a_second() -> None:
    measured = await steady(Shelf([0], seconds=0.001).sell, HOT, callers=4, warm_seconds=0.02, seconds=0.1, seed=1)
    assert measured.tps == 0
    assert measured.answers.refused > 0


async def test_calls_that_raise_are_counted_by_kind() -> None:
    async def sell(_sku: int, _key: str) -> bool:
        raise ConnectionResetError

    measured = await rush(sell, HOT, attempts=5, callers=5, seed=1)
    assert measured.answers.failed == 5
    assert measured.failures == {"ConnectionResetError": 5}


async def test_a_contender_that_never_answers_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_PATIENCE_SECONDS", 0.05)

    async def sell(_sku: int, _key: str) -> bool:
        await asyncio.Event().wait()
        return True

    with pytest.raises(HungError):
        await rush(sell, HOT, attempts=1, callers=1, seed=1)


def test_keys_are_growing_uuids_of_version_7_and_differ_between_loads() -> None:
    first, second = list(islice(keys(Random(1)), 1000)), list(islice(keys(Random(2)), 1000))
    assert first == sorted(first)
    assert len({*first, *second}) == 2000
    assert all(str(UUID(key)) == key and UUID(key).version == 7 for key in first)


def test_zipf_picks_follow_the_law_and_repeat_by_seed() -> None:
    picked = list(islice(ZIPF.picks(seed=3), 60_000))
    assert picked == list(islice(ZIPF.picks(seed=3), 60_000))
    assert 0.12 < picked.count(0) / 60_000 < 0.15
    assert max(picked) > 900


def test_stock_follows_the_demand_and_leaves_no_sku_empty() -> None:
    units = Mix("zipf", skus=1000).stock(10_000)
    assert min(units) >= 1
    assert units[0] > units[1] > units[999]
    assert 10_000 <= sum(units) <= 11_000
