"""What crosses the border of the fleet: tasks, attempts, workers and sums, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from nervio.kernel.time import Instant


class Priority(IntEnum):
    """How urgent a task is; a lower number is more urgent. None starves: the longer a task waits, the more it counts."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class TaskState(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SubmitTask:
    """A task to be queued. `payload` is JSON text of an object; files in it are named by reference.

    `size` is how much work it is likely to be, in the unit of its kind (tokens of text, pages, seconds of sound); 0 lets it be
    estimated. `retries` is how often it is tried again after the first attempt.
    """

    kind: str
    payload: str
    model: str = ""
    priority: Priority = Priority.NORMAL
    deadline_at: Instant | None = None
    retries: int = 3
    size: int = 0


@dataclass(frozen=True, slots=True)
class TaskQueued:
    """The answer to a task that was queued."""

    id: str
    state: TaskState
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it stands. `result` and `usage` are what its worker brought, decoded."""

    id: str
    kind: str
    model: str
    priority: Priority
    state: TaskState
    payload: Any
    size: int
    attempts: int
    most_attempts: int
    worker: str | None
    result: Any
    usage: Any
    error: str | None
    created_by: str
    created_at: Instant
    run_at: Instant
    deadline_at: Instant | None
    started_at: Instant | None
    ended_at: Instant | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What there is of an answer that the attempt with this token is making."""

    token: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """A part of an answer that is being made: `text` begins at the character `start` of what the attempt with this token has
    made."""

    token: int
    start: int
    text: str


class WaitReason(StrEnum):
    """Why a task waits. Of several the one that somebody can do something about comes first."""

    STOPPED = "stopped"
    NO_WORKER = "no_worker"
    """There is no worker at all."""
    NO_KIND = "no_kind"
    """There are workers, and none does this kind."""
    NO_MODEL = "no_model"
    """Its kind is done, and not with the model that it asks for."""
    PAUSE = "pause"
    """It is not tried before `run_at`: its last attempt failed."""
    TURN = "turn"
    """Those who can do it are busy with others, or it is about to be taken."""


class AttemptEnding(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    HANDED_BACK = "handed_back"
    """The worker shut down, or the shop was stopped: it counts as no attempt."""
    LOST = "lost"
    """Its worker, or the process that had given it out, was gone."""
    CANCELLED = "cancelled"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a task. `token` grows with every claim."""

    token: int
    n: int
    worker: str
    ending: AttemptEnding
    error: str | None
    started_at: Instant
    ended_at: Instant


class WorkerStatus(StrEnum):
    """What a worker does."""

    IDLE = "idle"
    BUSY = "busy"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as it was last written down. `worked_ms` is time on tasks that it completed."""

    id: str
    status: WorkerStatus
    transport: str
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    slots: int
    credit: int
    batch: int
    version: str
    language: str
    in_flight: int
    tasks_completed: int
    tasks_failed: int
    worked_ms: int
    first_seen: Instant
    last_seen: Instant


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums of one kind of task of a tenant over a span of days."""

    kind: str
    submitted: int
    done: int
    failed: int
    cancelled: int
    attempts_failed: int
    worked_ms: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """How the fleet does for a tenant. Times are seconds from submission to result, of what was done within the last hour
    (at most the last thousand); `throughput` is tasks done in the last minute."""

    total_tasks: int
    queue_length: int
    average_seconds: float
    p95_seconds: float
    p99_seconds: float
    throughput: int
    total_errors: int
    error_rate: float
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long a kind of task takes somewhere, as far as it has been learnt. `error` is the mean of |ln(took / predicted)|:
    0.3 says that it is usually off by a factor of e^0.3."""

    kind: str
    model: str
    worker: str
    samples: int
    seconds: float
    error: float
