"""How many requests fit into a window, against a list that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from nervio.modules.fleet.usecases import requests
from nervio.modules.fleet.usecases.requests import MOST_KEPT, RequestWindows

ME, YOU = ("t", "me"), ("t", "you")


@given(
    most=st.integers(1, 5),
    steps=st.lists(st.tuples(st.sampled_from([ME, YOU, ("u", "me")]), st.integers(0, 40)), max_size=60),
)
def test_no_window_ever_holds_more_than_may_be_and_a_wait_is_never_too_short(
    most: int, steps: list[tuple[tuple[str, str], int]]
) -> None:
    windows, now, taken = RequestWindows(most, 30.0), 0.0, list[tuple[tuple[str, str], float]]()
    for who, pause in steps:
        now += pause
        recent = [at for one, at in taken if one == who and at > now - 30.0]
        wait = windows.count(who, now)
        assert (wait == 0.0) == (len(recent) < most)
        if wait:
            assert wait == recent[-most] + 30.0 - now
        else:
            taken.append((who, now))


def test_memory_is_bounded_and_the_hasty_are_not_forgotten_for_those_who_are_gone() -> None:
    windows = RequestWindows(1, 30.0)
    for n in range(MOST_KEPT - 1):
        assert windows.count(("t", str(n)), 0.0) == 0.0
    assert windows.count(ME, 29.0) == 0.0
    assert windows.count(YOU, 31.0) == 0.0
    assert windows.count(ME, 32.0) > 0.0
    for n in range(2 * MOST_KEPT):
        windows.count(("u", str(n)), 33.0)
    assert len(windows._windows) <= requests.MOST_KEPT
