"""Counting what was sold: each way of being wrong is seen, and being right gives zeros."""

import pytest

from bench.stock.contender import Audit
from bench.stock.tally import CLEAN, Answers, Verdict, judge


def answers(*sold: int, refused: int = 0, failed: int = 0) -> Answers:
    return Answers(sold=sold, refused=refused, failed=failed)


def test_three_accounts_that_agree_are_clean() -> None:
    assert judge([5, 5], answers(5, 3, refused=9), Audit(sold=[5, 3], movements=8)) == CLEAN


def test_more_answers_than_units_is_oversold_though_the_level_looks_right() -> None:
    # A level that was overwritten: 2,000 buyers were told yes for 200 units, the counter says 60.
    verdict = judge([200], answers(2000), Audit(sold=[60], movements=2000))
    assert verdict == Verdict(oversold=1800, lost=0, doubled=0, drift=1940)


def test_a_level_below_zero_is_oversold_though_the_callers_heard_no() -> None:
    assert judge([5], answers(5, refused=1), Audit(sold=[6], movements=6)).oversold == 1


def test_units_left_of_one_sku_do_not_make_up_for_another() -> None:
    assert judge([5, 100], answers(7, 0), Audit(sold=[7, 0], movements=7)).oversold == 2


def test_more_movements_than_all_units_is_oversold_though_answers_and_levels_fit() -> None:
    assert judge([5], answers(5), Audit(sold=[5], movements=8)).oversold == 3


def test_an_answered_sale_without_its_movement_is_lost() -> None:
    assert judge([9], answers(5), Audit(sold=[5], movements=4)) == Verdict(oversold=0, lost=1, doubled=0, drift=1)


def test_a_movement_that_nobody_was_told_of_is_doubled() -> None:
    assert judge([9], answers(5), Audit(sold=[6], movements=6)).doubled == 1


def test_a_failed_call_may_have_sold_or_not() -> None:
    assert judge([9], answers(5, failed=1), Audit(sold=[6], movements=6)) == CLEAN
    assert judge([9], answers(5, failed=1), Audit(sold=[5], movements=5)) == CLEAN
    assert judge([9], answers(5, failed=1), Audit(sold=[7], movements=7)).doubled == 1


def test_without_movements_the_levels_are_held_against_the_answers() -> None:
    assert judge([9], answers(5), Audit(sold=[3], movements=None)) == Verdict(oversold=0, lost=2, doubled=0, drift=0)


def test_accounts_of_different_skus_are_an_error() -> None:
    with pytest.raises(ValueError, match="SKUs"):
        judge([5, 5], answers(5, 0), Audit(sold=[5], movements=5))


def test_attempts_are_all_calls_that_came_back() -> None:
    assert answers(5, 3, refused=9, failed=2).attempts == 19


def test_verdicts_add_up() -> None:
    assert Verdict(1, 2, 3, 4) + Verdict(1, 1, 1, 1) == Verdict(2, 3, 4, 5)
