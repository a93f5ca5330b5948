"""Whose turn it is: whatever waits, nobody is kept waiting by somebody else's many jobs."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from nervio.modules.jobs.domain import Turns


@dataclass(frozen=True)
class Waiting:
    tenant_id: str
    n: int


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30), min_size=1), st.integers(1, 9))
def test_all_are_taken_in_their_order_and_nobody_is_two_ahead(counts: dict[str, int], room: int) -> None:
    turns, taken = Turns(), dict.fromkeys(counts, 0)
    while sum(taken.values()) < sum(counts.values()):
        left = {tenant: [Waiting(tenant, n) for n in range(taken[tenant], counts[tenant])] for tenant in counts}
        found = turns.take({tenant: left[tenant] for tenant in turns.in_order(left)}, room)
        assert 0 < len(found) <= room
        for job in found:
            assert job.n == taken[job.tenant_id]
            taken[job.tenant_id] += 1
            behind = [tenant for tenant in counts if taken[tenant] < counts[tenant]]
            assert all(taken[job.tenant_id] - taken[tenant] <= 1 for tenant in behind)


def test_a_tenant_with_nothing_to_take_gives_way_to_those_behind_it() -> None:
    turns = Turns()
    assert turns.take({"a": [], "b": []}, 1) == []
    assert turns.in_order(["a", "b", "c"])[0] == "c"
