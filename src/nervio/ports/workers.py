"""Workers that do AI work: what they say of themselves, what they are handed, and what they bring back.

The queue in the database is the truth; a transport only carries. Work is handed to a worker that has said it can take more,
never pushed at one. What a worker brings back counts once it is committed, and only under the newest token of its task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from nervio.kernel.time import Instant


@dataclass(frozen=True, slots=True)
class Profile:
    """What a worker says of itself when it registers.

    `id` stays over restarts, `boot` is new with every start: what was handed to an earlier boot is gone. `credit` is how
    many tasks it holds at most, `slots` of which it works on at once; `batch` how many of one kind it takes in one go.
    """

    id: str
    boot: str
    kinds: tuple[str, ...]
    models: tuple[str, ...] = ()
    """What a task may ask for; a task that asks for none goes to any worker of its kind."""
    slots: int = 1
    credit: int = 1
    batch: int = 1
    version: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at a task. `payload` is JSON; large files in it are named by reference."""

    tenant_id: str
    task_id: str
    token: int
    kind: str
    model: str
    payload: str
    attempt: int
    size: int
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task came to: `result` is anything that JSON can say, `usage` what it cost (`input_tokens`, `output_tokens`, …)."""

    result: Any
    usage: Mapping[str, Any] | None = None


class TaskFailed(Exception):
    """An attempt that came to nothing. `may_help` False says that trying again is of no use."""

    def __init__(self, message: str, *, may_help: bool = True, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.may_help, self.retry_after_seconds = may_help, retry_after_seconds


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt as those see it who do the work: the payload decoded, and `emit` to show a part of the answer."""

    assignment: Assignment
    payload: Any
    emit: Callable[[str], None]


Do = Callable[[Job], Awaitable[Answer]]
"""What does a kind of task. Raises `TaskFailed`; anything else that it raises is a bug, and the attempt has failed."""


class Ending(StrEnum):
    """How an attempt ended, as its worker tells it."""

    DONE = "done"
    FAILED = "failed"
    HANDED_BACK = "handed_back"
    """Not tried: the worker shuts down. Counts no attempt."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an assignment. `result` is JSON, of an attempt that is done; `usage` is of any that cost something; `error` is
    for people, of one that is not done. `may_help` False says that trying again is of no use."""

    tenant_id: str
    task_id: str
    token: int
    ending: Ending
    result: str = "null"
    usage: str | None = None
    error: str = ""
    may_help: bool = True
    retry_after_seconds: float | None = None
    seconds: float = 0.0
    """How long it was worked on, by the worker's own clock."""


class Mishap(StrEnum):
    """What the program itself says of an attempt that came to nothing, and of a task that was not done. Part of the API as they are;
    pages say them in their reader's language."""

    RESTARTED = "The worker started anew."
    LEFT = "The worker has left."
    ELSEWHERE = "Another process gives it work."
    UNREACHABLE = "The worker could not be reached."
    SILENT = "The worker was silent for too long."
    ABANDONED = "The process that had handed it out was gone."
    OVERDUE = "The deadline was over before it was done."


class Verdict(StrEnum):
    """What became of a report. All but `RETRY` are for good: the worker forgets the task."""

    ACCEPTED = "accepted"
    LATE = "late"
    """Somebody else has the task by now, it was cancelled, or it had ended: nothing was written."""
    REFUSED = "refused"
    """It makes no sense: an unknown task, or a result that is too large. The attempt counts as failed."""
    RETRY = "retry"
    """The store is not there just now; report it again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an answer while it is being made: the `n`th, from 0, of the attempt with this token. Shown, never kept."""

    tenant_id: str
    task_id: str
    token: int
    n: int
    text: str


class Master(Protocol):
    """Who hands out the work, as a transport sees it. Called on the event loop; only `report` waits."""

    def joined(self, transport: WorkerTransport, profile: Profile) -> None:
        """A worker is there, or has said something new of itself. Another boot of the same id ends the one before."""
        ...

    def seen(self, worker_id: str) -> None:
        """A sign of life."""
        ...

    def left(self, worker_id: str, boot: str, reason: str) -> None:
        """A worker is gone; what it held runs elsewhere. Ignored where another boot has taken its place."""
        ...

    def chunk(self, worker_id: str, chunk: Chunk) -> None:
        """A part of an answer, for whoever watches."""
        ...

    async def report(self, worker_id: str, reports: Sequence[Report]) -> list[Verdict]:
        """Takes what came of assignments, durably, and says of each what became of it, in their order."""
        ...


class WorkerTransport(Protocol):
    """A way to reach workers."""

    name: str
    is_local: bool
    """Whether its workers end with this process, so that what they hold is handed back at once. Others go on, and bring their
    results to whoever is there then."""

    async def start(self, master: Master) -> None:
        """Begins to listen for workers; a broker that is not there yet is waited for in the background."""
        ...

    async def assign(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """Hands assignments to a worker. What does not arrive shows by the worker's silence, and by its lease."""
        ...

    async def cancel(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """Tells a worker to stop working on them; what it still brings of them is late."""
        ...

    async def close(self) -> None:
        """Stops listening and lets go. Work that is under way is not waited for."""
        ...
