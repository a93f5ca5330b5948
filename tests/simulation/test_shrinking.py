"""What a seed decided can be left out by name, and the shortest trace of a failure is found and told in a command."""

import pytest

from tests.simulation.decisions import Decisions, Name, spell, unspell
from tests.simulation.shrinking import shrink
from tests.simulation.test_seeds import simulate
from tests.simulation.truth import ENDS, ONCE, Broken
from tests.simulation.world import Story

EVERYTHING: tuple[Name, ...] = (
    *(("deed", n) for n in range(1, 31)),
    *(("switch", n) for n in range(100)),
    ("slow_commit", 2),
)


def story(taken: tuple[Name, ...], promise: str | None) -> Story:
    failure = None if promise is None else Broken(promise, "")
    return Story(1, failure, "", steps=10 * len(taken), judged=1, virtual_seconds=1.0, taken=taken)


def told_again(only: frozenset[Name], _most_steps: int) -> Story:
    """Breaks where two deeds and a switch come together; something else breaks without the first of them."""
    taken = tuple(name for name in EVERYTHING if name in only)
    if {("deed", 3), ("deed", 17), ("switch", 41)} <= only:
        return story(taken, ONCE)
    return story(taken, None if ("deed", 3) in only else ENDS)


def test_what_is_left_is_what_the_failure_needs() -> None:
    shrunk = shrink(story(EVERYTHING, ONCE), told_again, 60.0)
    assert set(shrunk.story.taken) == {("deed", 3), ("deed", 17), ("switch", 41)}
    assert shrunk.is_least


def test_without_time_the_failure_stays_as_it_was() -> None:
    shrunk = shrink(story(EVERYTHING, ONCE), told_again, -1.0)
    assert shrunk.story.taken == EVERYTHING
    assert (shrunk.tries, shrunk.is_least) == (0, False)


def test_decisions_are_told_in_a_word() -> None:
    names = {("deed", 1), ("deed", 4), ("deed", 5), ("deed", 6), ("slow_commit", 2)}
    assert spell(names) == "deed=1,4-6;slow_commit=2"
    assert unspell(spell(names)) == names
    assert unspell("") == frozenset()


def test_only_what_is_named_happens() -> None:
    decisions = Decisions(frozenset({("fault", 2)}))
    assert [decisions.happens("fault") for _ in range(3)] == [False, True, False]
    assert not decisions.takes("deed", 2)
    assert decisions.taken == [("fault", 2)]


@pytest.mark.slow
def test_the_shortest_trace_of_a_planted_race_is_played_again() -> None:
    found = simulate("--mutant", "concurrent_reservation", "--seed", "1", "--seconds", "60", "--shrink", "8")
    # Of decisions: a story of fewer may well take more steps, above all when time is short.
    assert len(unspell(found["only"])) < found["failing_decisions"]
    given = ("--mutant", "concurrent_reservation", "--seed", str(found["seed"]), "--only", found["only"])
    again = simulate(*given)
    assert (again["promise"], again["failing_steps"]) == (found["promise"], found["shortest_steps"])
