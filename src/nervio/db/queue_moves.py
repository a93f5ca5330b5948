"""What may happen to a piece of durable work: its states, its moves, and when it is tried again. Plain values, no I/O."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from nervio.kernel.errors import Kind, NervioError, conflict
from nervio.kernel.time import SECOND, Instant


class State(StrEnum):
    """Where a piece of work stands."""

    WAITING = "waiting"
    """To be taken once `run_at` has come: new, to be tried again, or parked by a stop."""
    RUNNING = "running"
    """Somebody has it, under its newest token."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Move(StrEnum):
    """What may be done to it."""

    CLAIM = "claim"
    FINISH = "finish"
    TRY_AGAIN = "try_again"
    """An attempt failed, or whoever had it is gone."""
    PARK = "park"
    """Handed back without having been tried: stopped, or whoever had it shuts down. Counts no attempt."""
    GIVE_UP = "give_up"
    CANCEL = "cancel"
    ANSWER = "answer"
    """Somebody has done the same before."""
    REOPEN = "reopen"


TRANSITIONS: Mapping[tuple[State, Move], State] = {
    (State.WAITING, Move.CLAIM): State.RUNNING,
    (State.WAITING, Move.CANCEL): State.CANCELLED,
    (State.WAITING, Move.ANSWER): State.DONE,
    (State.WAITING, Move.GIVE_UP): State.FAILED,
    (State.RUNNING, Move.FINISH): State.DONE,
    (State.RUNNING, Move.TRY_AGAIN): State.WAITING,
    (State.RUNNING, Move.PARK): State.WAITING,
    (State.RUNNING, Move.GIVE_UP): State.FAILED,
    (State.RUNNING, Move.CANCEL): State.CANCELLED,
    (State.FAILED, Move.REOPEN): State.WAITING,
    (State.CANCELLED, Move.REOPEN): State.WAITING,
}
"""Every move there is. What is done stays done."""

ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
LONGEST_ERROR = 2_000
"""Characters of an error that are kept."""


@dataclass(slots=True)
class Work:
    """A row of the queue. Only the moves below change it, and each keeps it true to `TRANSITIONS`.

    `model` is what whoever does it must have, empty where anybody of the kind will do.
    `token` grows with every claim: who comes back with an older one is late, and nothing of what it brings is taken.
    `attempts` counts claims that were not parked. `owner` names the process that claimed it, `worker` whom it gave it to.
    """

    tenant_id: str
    id: str
    queue: str
    kind: str
    model: str
    priority: int
    state: State
    run_at: Instant
    deadline_at: Instant | None
    attempts: int
    most_attempts: int
    token: int
    owner: str | None
    worker: str | None
    size: int
    payload: str
    checkpoint: str | None
    result: str | None
    usage: str | None
    error: str | None
    created_by: str
    created_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    digest: str | None = None
    """What it has in common with work that asks for the same."""

    def is_due(self, now: Instant) -> bool:
        """Whether it may be claimed."""
        return self.state is State.WAITING and self.run_at <= now

    def is_overdue(self, now: Instant) -> bool:
        """Whether it has not ended although its deadline is over."""
        return self.state not in ENDED and self.deadline_at is not None and self.deadline_at <= now

    def claim(self, owner: str, worker: str | None, now: Instant) -> int:
        """Gives it to somebody; the token under which it will be taken back. Refused unless it waits and its time has come."""
        if self.run_at > now:
            raise conflict("work_not_due", "This work is not to be tried yet.", id=self.id)
        self._move(Move.CLAIM)
        self.token += 1
        self.attempts += 1
        self.owner, self.worker, self.started_at = owner, worker, now
        return self.token

    def finish(self, token: int, result: str, usage: str | None, now: Instant) -> bool:
        """Takes the result of the newest claim. False where it was taken before: who did not hear so brings it again."""
        if self.state is State.DONE and self.token == token:
            return False
        self._check(token)
        self._move(Move.FINISH)
        self.result, self.usage, self.error, self.owner, self.ended_at = result, usage, None, None, now
        return True

    def answer(self, result: str, usage: str | None, now: Instant) -> None:
        """Ends it with what the same work came to."""
        self._move(Move.ANSWER)
        self.result, self.usage, self.error, self.ended_at = result, usage, None, now

    def fail(self, token: int, error: str, now: Instant, *, again: bool, after_seconds: float | None = None) -> None:
        """Ends the newest claim without a result. Tried again, after the pause given or the next in the row of them, where that
        may help and attempts are left."""
        self._check(token)
        self.error, self.owner, self.worker = error[:LONGEST_ERROR], None, None
        if again and self.attempts < self.most_attempts:
            pause = pause_seconds(self.id, self.attempts) if after_seconds is None else after_seconds
            self._move(Move.TRY_AGAIN)
            self.run_at = now + int(pause * SECOND)
        else:
            self._move(Move.GIVE_UP)
            self.ended_at = now

    def reach(self, token: int, checkpoint: str | None) -> None:
        """Writes down how far the newest claim has got. What failed before is forgotten: attempts are counted from here."""
        self._check(token)
        self.checkpoint, self.attempts = checkpoint, 1

    def park(self, token: int, run_at: Instant) -> None:
        """Hands it back as if it had never been claimed, but under its newer token."""
        self._check(token)
        self._move(Move.PARK)
        self.attempts -= 1
        self.owner = self.worker = self.started_at = None
        self.run_at = run_at

    def give_up(self, error: str, now: Instant) -> None:
        """Ends it unfinished, whoever has it."""
        self._move(Move.GIVE_UP)
        self.error, self.owner, self.worker, self.ended_at = error[:LONGEST_ERROR], None, None, now

    def cancel(self, now: Instant) -> None:
        """Nobody wants it any more; a result that still comes is late."""
        self._move(Move.CANCEL)
        self.owner, self.ended_at = None, now

    def reopen(self, now: Instant) -> None:
        """To be tried again from the beginning, with all its attempts; its checkpoint stays."""
        self._move(Move.REOPEN)
        self.attempts, self.run_at, self.error = 0, now, None
        self.owner = self.worker = self.started_at = self.ended_at = None

    def _check(self, token: int) -> None:
        if self.state is not State.RUNNING or self.token != token:
            raise NervioError(
                Kind.CONFLICT,
                "work_token_stale",
                "Somebody else has this work by now, or nobody wants it any more.",
                id=self.id,
                state=self.state.value,
            )

    def _move(self, move: Move) -> None:
        after = TRANSITIONS.get((self.state, move))
        if after is None:
            raise conflict(
                "work_state",
                f"Work that is {self.state.value} allows no {move.value}.",
                id=self.id,
                state=self.state.value,
            )
        self.state = after


def pause_seconds(work_id: str, attempts: int) -> float:
    """How long to wait after so many attempts: doubling from `FIRST_PAUSE_SECONDS`, between a half and the whole of it, drawn from
    the id and the attempt so that what failed together does not come again together, and a replay waits as long."""
    whole = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 30), LONGEST_PAUSE_SECONDS)
    share = zlib.crc32(f"{work_id}|{attempts}".encode()) / 0xFFFFFFFF
    return whole * (0.5 + share / 2)
