"""The arithmetic of the figures, on values whose answers are known by hand."""

import math

import pytest

from bench.figures import percentile, spread, zipf_weights


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100


def test_p99_of_few_values_is_the_slowest_and_never_leaves_it_out() -> None:
    assert percentile([1.0, 2.0, 900.0], 99) == 900


def test_one_slow_call_in_a_hundred_does_not_move_p99_but_two_do() -> None:
    assert percentile([1.0] * 99 + [50.0], 99) == 1
    assert percentile([1.0] * 98 + [50.0, 50.0], 99) == 50


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


@pytest.mark.parametrize("rank", [0, -1, 100.5])
def test_a_rank_outside_0_to_100_is_an_error(rank: float) -> None:
    with pytest.raises(ValueError, match="rank"):
        percentile([1.0], rank)


def test_spread_takes_the_median_so_that_one_bad_run_does_not_carry_the_figure() -> None:
    runs = spread([900.0, 1000.0, 5.0])
    assert (runs.median, runs.low, runs.high, runs.runs) == (900, 5, 1000, 3)


def test_zipf_weights_sum_to_one_and_the_second_is_half_of_the_first() -> None:
    weights = zipf_weights(1000, 1.0)
    assert math.isclose(sum(weights), 1.0)
    assert math.isclose(weights[1] * 2, weights[0])
    assert math.isclose(weights[0], 0.1336, abs_tol=1e-4)  # 1 / H(1000)
