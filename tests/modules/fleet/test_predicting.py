"""How long tasks take, learnt from those that were done."""

import math
import random

import pytest

from nervio.modules.fleet.domain.prediction import UNKNOWN_SECONDS, Speed, Speeds


def test_a_line_is_found_in_noise() -> None:
    draw, speed = random.Random(3), Speed()
    for _ in range(400):
        size = draw.lognormvariate(3, 1)
        speed.learn(size, (0.5 + 0.02 * size) * draw.uniform(0.9, 1.1))

    assert speed.predict(10) == pytest.approx(0.7, rel=0.25)
    assert speed.predict(200) == pytest.approx(4.5, rel=0.25)
    assert speed.error < 0.25


def test_a_worker_that_becomes_slower_is_noticed() -> None:
    speed = Speed()
    for _ in range(100):
        speed.learn(10, 1.0)
    for _ in range(60):
        speed.learn(10, 3.0)

    assert speed.predict(10) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("pairs", [[(1, 5.0), (100, 1.0)], [(100, 0.001), (1000, 100.0)], [(5, 2.0)], [(5, 0.0)]])
def test_a_prediction_is_never_below_zero_nor_falls_with_size(pairs: list[tuple[float, float]]) -> None:
    speed = Speed()
    for size, seconds in pairs:
        speed.learn(size, seconds)

    predicted = [speed.predict(size) for size in (0, 1, 10, 1000, 1e9)]

    assert all(seconds > 0 and math.isfinite(seconds) for seconds in predicted)
    assert predicted == sorted(predicted)


def test_a_new_worker_is_judged_by_the_others_until_it_is_known() -> None:
    speeds = Speeds()
    assert speeds.predict("chat", "m", "new", 10) == UNKNOWN_SECONDS
    for _ in range(20):
        speeds.learn("chat", "m", "old", 10, 2.0)

    assert speeds.predict("chat", "m", "new", 10) == pytest.approx(2.0)
    assert speeds.predict("chat", "another model", "new", 10) == pytest.approx(2.0)
    for _ in range(40):
        speeds.learn("chat", "m", "new", 10, 8.0)
    assert speeds.predict("chat", "m", "new", 10) == pytest.approx(8.0, rel=0.1)
    assert speeds.predict("chat", "m", "old", 10) < 4.0


def test_what_was_learnt_survives_being_written_down() -> None:
    before, after = Speeds(), Speeds()
    for n in range(10):
        before.learn("chat", "m", "w", n, 0.1 * n + 1)

    after.load(before.take_changed().items())

    assert after.predict("chat", "m", "w", 20) == before.predict("chat", "m", "w", 20)
    assert before.take_changed() == {}
