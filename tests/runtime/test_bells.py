"""Who is woken by what: those who wait for one queue hear nothing of another."""

from nervio.runtime.commits import Bell


def test_a_ring_is_heard_by_those_it_is_about() -> None:
    bell = Bell()
    anything, fleet, jobs = bell.listener(), bell.listener("fleet"), bell.listener("jobs")
    bell.ring("fleet")
    assert (anything.is_set(), fleet.is_set(), jobs.is_set()) == (True, True, False)


def test_a_ring_about_nothing_in_particular_is_heard_by_all() -> None:
    bell = Bell()
    listeners = [bell.listener(), bell.listener("fleet")]
    bell.ring()
    assert all(event.is_set() for event in listeners)
