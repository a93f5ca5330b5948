"""How a batch is cut: by what one more line adds, not by what a commit costs anyway."""

import random

from nervio.db.lanes import CostEstimate


def test_the_fixed_cost_of_a_commit_does_not_make_lines_look_dear() -> None:
    estimate, chance = CostEstimate(), random.Random(7)
    for _ in range(400):
        weight = chance.randint(1, 40)
        estimate.learn(weight, 0.003 + 30e-6 * weight)
    assert 25e-6 < estimate.seconds_per_unit < 35e-6


def test_equal_batches_say_nothing_and_change_nothing() -> None:
    estimate = CostEstimate()
    for _ in range(50):
        estimate.learn(20, 0.004)
    before = estimate.seconds_per_unit
    for _ in range(400):
        estimate.learn(20, 0.004)
    assert 2e-6 <= estimate.seconds_per_unit <= 500e-6
    assert abs(estimate.seconds_per_unit - before) / before < 5


def test_one_stalled_batch_does_not_end_large_batches() -> None:
    estimate, chance = CostEstimate(), random.Random(3)
    for n in range(600):
        weight = chance.randint(50, 400)
        estimate.learn(weight, 1.5 if n == 300 else 0.003 + 25e-6 * weight)
    assert estimate.seconds_per_unit < 60e-6
