"""Workers of this process that are free, for tasks that are queued in it: such a task is queued and claimed in one commit.

Nothing depends on it but speed. What is promised here and not claimed is free again; what is claimed and not handed over, because
whoever waited for the commit is gone, is a stray that the dispatcher's sweep finds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nervio.db.execution import Outcome
from nervio.modules.fleet.contracts import SubmitTask, TaskQueued
from nervio.modules.fleet.domain.dispatch import Capacity, Turns, find_worker
from nervio.modules.fleet.domain.prediction import Speeds
from nervio.modules.fleet.usecases.roster import Member, Roster, TaskKey
from nervio.ports.workers import Assignment

FRESH_SECONDS = 0.005
"""How long a look at what workers can take is good for, while nobody but who looked gives them more to do."""
Claims = Sequence[tuple[Assignment, str]]
"""Assignments that were claimed, with the worker for each."""


@dataclass(slots=True, eq=False)
class Opening:
    """A place at a worker that is kept free for one task."""

    owner: str
    member: Member
    predicted: float
    assignment: Assignment | None = None
    """What was claimed for it, by the commit that was tried last."""


class Places:
    """The free workers of one dispatcher, as those see them who queue tasks. On the event loop."""

    def __init__(
        self,
        owner: str,
        roster: Roster,
        speeds: Speeds,
        turns: Turns,
        is_stopped: Callable[[str], bool],
        monotonic: Callable[[], float],
        hand_over: Callable[[Claims], None],
    ) -> None:
        self._owner, self._roster, self._speeds, self._turns = owner, roster, speeds, turns
        self._is_stopped, self._monotonic, self._hand_over = is_stopped, monotonic, hand_over
        self.is_behind = True
        """Whether something waits that could not be given out: who comes now comes after it."""
        self._open: set[Opening] = set()
        self._seen: list[Capacity] = []
        self._seen_at, self._changes = -math.inf, -1
        self.safe_until = -math.inf
        """Until when, on the monotonic clock, nobody takes what this process has for orphaned."""

    def find(self, tenant_id: str, tasks: Sequence[SubmitTask]) -> list[Opening | None]:
        """A place for each task that somebody could begin at once. None for the others, which wait their turn."""
        found: list[Opening | None] = [None] * len(tasks)
        now = self._monotonic()
        if self.is_behind or now >= self.safe_until or self._is_stopped(tenant_id):
            return found
        capacities, looked_anew = self._capacities(now), False
        for n, task in enumerate(tasks):
            best = find_worker(task, capacities, self._speeds.predict)
            if best is not None and not best[0].takes(best[1]) and not looked_anew:
                # There may be room again since that look.
                capacities, looked_anew = self._capacities(now, anew=True), True
                best = find_worker(task, capacities, self._speeds.predict)
            if best is None:
                continue  # nobody does such tasks, so that it is in nobody's way
            capacity, seconds = best
            member = self._roster.find(capacity.worker_id)
            if not capacity.takes(seconds) or member is None:
                self.is_behind = True
                break
            capacity.free -= 1
            capacity.take(seconds)
            member.promised.append(seconds)
            self._turns.charge(tenant_id, seconds)
            opening = found[n] = Opening(self._owner, member, seconds)
            self._open.add(opening)
        return found

    def _capacities(self, now: float, *, anew: bool = False) -> list[Capacity]:
        # As they were a moment ago, with what was promised since: a busy worker has many tasks to be looked at, and a task that
        # comes alone would pay for all of them.
        if anew or self._changes != self._roster.changes or now - self._seen_at > FRESH_SECONDS:
            self._seen, self._seen_at, self._changes = self._roster.capacities(), now, self._roster.changes
        return self._seen

    def outstanding(self) -> dict[TaskKey, int]:
        """What may have been claimed and was not handed over yet: task → token."""
        assignments = [opening.assignment for opening in self._open]
        return {(one.tenant_id, one.task_id): one.token for one in assignments if one is not None}

    def settle(self, openings: Sequence[Opening | None], outcomes: Sequence[Outcome]) -> None:
        """Hands over what was claimed, and lets go of the other places. An outcome that is missing counts as a refusal."""
        claimed: list[tuple[Assignment, str]] = []
        for n, opening in enumerate(openings):
            if opening is None:
                continue
            opening.member.promised.remove(opening.predicted)
            self._open.discard(opening)
            outcome = outcomes[n] if n < len(outcomes) else None
            # The answer to a key that was used before tells of another task than the one that was tried here.
            if (
                isinstance(outcome, TaskQueued)
                and opening.assignment is not None
                and opening.assignment.task_id == outcome.id
            ):
                claimed.append((opening.assignment, opening.member.profile.id))
            else:
                self._seen_at = -math.inf  # there is room for one more
        if claimed:
            self._hand_over(claimed)


class Openings:
    """The places of this process's dispatcher, where it has one: what those hold who queue tasks."""

    def __init__(self) -> None:
        self._places: Places | None = None

    def attach(self, places: Places | None) -> None:
        """Opens them, or closes them."""
        self._places = places

    def find(self, tenant_id: str, tasks: Sequence[SubmitTask]) -> tuple[Places | None, list[Opening | None]]:
        """See `Places.find`; with it whom to tell what became of them."""
        places = self._places
        return places, [None] * len(tasks) if places is None else places.find(tenant_id, tasks)
