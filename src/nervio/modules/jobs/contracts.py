"""What crosses the border of background jobs, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from nervio.kernel.time import Instant

QUEUE = "jobs"
"""The queue whose rows are jobs. An operation of another module that queues one names it as `enqueues`."""

LOST = "The process that worked on it was gone."
OVERDUE = "The deadline was over before it was done."
"""What the program itself says of a job that came to nothing."""


class JobPriority(IntEnum):
    """How urgent a job is among those of its tenant; a lower number comes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobWait(StrEnum):
    """Why a job waits."""

    STOPPED = "stopped"
    UNKNOWN = "unknown"
    """No module of this program knows its kind: it stays where it is until one does, or somebody cancels it."""
    PAUSE = "pause"
    """It failed, or was parked, and is not to be tried yet."""
    TURN = "turn"


@dataclass(frozen=True, slots=True)
class EnqueueJob:
    """A job to be done. `payload` is any value that JSON can say; `retries` is how often it is tried again, with growing pauses."""

    name: str
    payload: Any = None
    priority: JobPriority = JobPriority.NORMAL
    retries: int = 3
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class JobQueued:
    """The answer to a job that was queued."""

    id: str
    created_at: Instant


@dataclass(frozen=True, slots=True)
class JobMoved:
    """What a job is after somebody cancelled it or wants it tried again."""

    id: str
    state: JobState


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands. `done` of `total` is how far it says it is; `checkpoint` is where it would go on."""

    id: str
    name: str
    state: JobState
    priority: JobPriority
    payload: Any
    result: Any
    error: str | None
    checkpoint: Any
    done: int | None
    total: int | None
    attempts: int
    most_attempts: int
    created_by: str
    created_at: Instant
    run_at: Instant
    deadline_at: Instant | None
    started_at: Instant | None
    ended_at: Instant | None
