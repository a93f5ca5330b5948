"""How far a background job has come, and the steps in which it goes on: a command's effects and the checkpoint after them are
true after one commit, or neither is. That is what makes a step happen exactly once, however often a job is begun again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from nervio.db.queue_moves import Work
from nervio.kernel.errors import conflict


class Checkpoint(msgspec.Struct, frozen=True):
    """What the row of a job says of how far it has come. `n` counts its checkpoints, `token` is that of the claim that wrote the
    last one; `done` of `total` is for people to look at."""

    n: int = 0
    token: int = 0
    value: Any = None
    done: int | None = None
    total: int | None = None


START = Checkpoint()

_decoder = msgspec.json.Decoder(Checkpoint)


def read_checkpoint(text: str | None) -> Checkpoint:
    """The checkpoint that a row holds; `START` where there is none."""
    return START if text is None else _decoder.decode(text)


@dataclass(slots=True, eq=False)
class Step:
    """From one checkpoint of a job to the next, carried by the one command whose effects the step is.

    `is_alone`: its command has no other effect, so that sending it again does no harm.
    """

    work: tuple[str, str]
    """(tenant, job)"""
    token: int
    before: int
    """The number of the checkpoint from which the step is made: one that was made already is refused."""
    text: str
    """The checkpoint after it, as JSON."""
    is_alone: bool = False
    is_taken: bool = False
    """Whether a command carries it."""
    is_moved: bool = False
    """Whether its command was decided, not refused and not answered from before."""

    def take(self) -> Step:
        """The step, for the one command that carries it."""
        if self.is_taken:
            raise RuntimeError("a step of a job is one command; make another step for the next")
        self.is_taken = True
        return self

    def move(self, work: Work | None) -> None:
        """Moves the job of the step. Refused where another claim has it by now, or it was made before."""
        if work is None:
            raise conflict("work_token_stale", "This job is not there any more.", id=self.work[1])
        if self.is_alone and work.token == self.token and work.checkpoint == self.text:
            return
        before = read_checkpoint(work.checkpoint).n
        work.reach(self.token, self.text)
        if before != self.before:
            raise conflict("step_taken", "This step of the job was made before.", id=self.work[1])
