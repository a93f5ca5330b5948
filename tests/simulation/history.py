"""Whether a history of what callers saw of a product's stock can have come from one counter that never goes below zero.

Linearizability (Herlihy and Wing, 1990): every operation takes effect at one moment between its call and its answer, and the
answers are those of the operations one after the other. An operation without an answer took effect at some moment after its
call, or never. The search goes through calls and answers in order of time and keeps every set of open operations that may
have taken effect by then (Lowe, "Testing for linearizability", 2017); sets that leave the same and differ only in which of
several equal unanswered operations happened are one, which keeps it small however many were lost.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

State = tuple[int, frozenset[int], frozenset[tuple[int, int]]]
"""What there is; the open operations that have happened; of the lost ones, how many of each change have."""


@dataclass(frozen=True)
class Operation:
    """A call and its answer, by one clock. `change`: units added or, negative, taken; 0 for a look. `answer`: what a look saw,
    or whether it happened; None where nobody knows (`answered` is infinite then)."""

    called: float
    answered: float
    change: int
    answer: int | bool | None

    @property
    def is_lost(self) -> bool:
        """Whether its answer never came."""
        return self.answer is None

    def after(self, value: int) -> int | None:
        """What there is after it, if it can have happened now with its answer; None where it cannot."""
        if self.change == 0:
            return value if self.answer is None or self.answer == value else None
        enough = value + self.change >= 0
        if self.answer is False:
            return None if enough else value
        return value + self.change if enough else None


def explains(history: Sequence[Operation], start: int = 0) -> bool:
    """Whether one counter that starts with so many units explains every answer."""
    return first_unexplained(history, start) is None


def first_unexplained(history: Sequence[Operation], start: int = 0) -> Operation | None:
    """The operation whose answer cannot be explained, in order of answers; None where all can."""
    # A look whose answer was lost, and a loss that cannot have changed anything, say nothing.
    told = [one for one in history if not (one.is_lost and one.change == 0)]
    lost: Counter[int] = Counter()
    open_now: dict[int, Operation] = {}
    states: set[State] = {(start, frozenset(), frozenset())}
    for _, is_answer, number in _moments(told):
        operation = told[number]
        if not is_answer:
            if operation.is_lost:
                lost[operation.change] += 1
            else:
                open_now[number] = operation
            continue
        states = {_settled(state, number) for state in _grown(states, open_now, lost) if number in state[1]}
        del open_now[number]
        if not states:
            return operation
    return None


def _moments(history: Sequence[Operation]) -> list[tuple[float, bool, int]]:
    """Calls and answers in order of time; at one moment calls come first, which forgives clocks that are not fine enough."""
    calls = [(one.called, False, number) for number, one in enumerate(history)]
    answers = [(one.answered, True, number) for number, one in enumerate(history) if one.answered != inf]
    return sorted([*calls, *answers])


def _grown(states: Iterable[State], open_now: dict[int, Operation], lost: Counter[int]) -> set[State]:
    """Every state that some of what is open or lost can lead to."""
    found = set(states)
    todo = list(found)
    while todo:
        for state in _steps(todo.pop(), open_now, lost):
            if state not in found:
                found.add(state)
                todo.append(state)
    return found


def _steps(state: State, open_now: dict[int, Operation], lost: Counter[int]) -> Iterator[State]:
    value, happened, lost_happened = state
    for number, operation in open_now.items():
        if number not in happened and (after := operation.after(value)) is not None:
            yield after, happened | {number}, lost_happened
    counts = dict(lost_happened)
    for change, most in lost.items():
        if counts.get(change, 0) < most and value + change >= 0:
            yield value + change, happened, frozenset({**counts, change: counts.get(change, 0) + 1}.items())


def _settled(state: State, number: int) -> State:
    return state[0], state[1] - {number}, state[2]
