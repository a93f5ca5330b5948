"""The shortest trace of a failure: delta debugging (Zeller and Hildebrandt, 2002) over what the seed decided."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.decisions import Name
from tests.simulation.world import Story

Play = Callable[[frozenset[Name], int], Story]
"""Plays a seed again with these decisions only, in so many steps at most."""
MORE_STEPS = 300
"""By how many steps more than the shortest so far a try may take before it counts as one that does not fail."""


@dataclass
class Shrunk:
    """The shortest story found, after how many tries. `is_least`: none of its decisions can be left out alone."""

    story: Story
    tries: int = 0
    is_least: bool = False


def shrink(failed: Story, play: Play, seconds: float) -> Shrunk:
    """Leaves out decisions, in ever smaller portions, for as long as the same promise breaks, for so many seconds of processor
    time. What a shorter story does not come to is left out with the rest."""
    assert failed.failure is not None
    shrunk, promise = Shrunk(failed), failed.failure.promise
    until = time.process_time() + seconds

    def breaks(kept: Sequence[Name]) -> bool:
        shrunk.tries += 1
        story = play(frozenset(kept), shrunk.story.steps + MORE_STEPS)
        if story.failure is None or story.failure.promise != promise or len(story.taken) >= len(shrunk.story.taken):
            return False
        shrunk.story = story
        return True

    portions = _by_kind(shrunk.story.taken)
    while time.process_time() < until:
        before = len(shrunk.story.taken)
        for portion in portions:
            if time.process_time() >= until:
                return shrunk
            left_out = set(portion) & set(shrunk.story.taken)
            if left_out:
                breaks([name for name in shrunk.story.taken if name not in left_out])
        size = max(len(portion) for portion in portions) if portions else 1
        if size > 1:
            portions = list(_in_portions(shrunk.story.taken, min(size, before) // 2 or 1))
        elif len(shrunk.story.taken) == before:
            shrunk.is_least = True
            return shrunk
        else:
            portions = list(_in_portions(shrunk.story.taken, 1))
    return shrunk


def _by_kind(taken: Sequence[Name]) -> list[list[Name]]:
    """All of a kind, the largest kinds first."""
    kinds: dict[str, list[Name]] = {}
    for name in taken:
        kinds.setdefault(name[0], []).append(name)
    return sorted(kinds.values(), key=len, reverse=True)


def _in_portions(taken: Sequence[Name], size: int) -> Iterator[list[Name]]:
    """The last first: what comes before a decision does not change when it is left out."""
    for end in range(len(taken), 0, -size):
        yield list(taken[max(end - size, 0) : end])
