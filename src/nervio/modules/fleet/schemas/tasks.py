"""Tasks, workers and figures of the fleet as requests and answers."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from nervio.kernel.time import Instant, to_iso
from nervio.modules.fleet.contracts import (
    Attempt,
    Prediction,
    Priority,
    Statistics,
    SubmitTask,
    Task,
    TaskQueued,
    TaskState,
    WorkerRecord,
    WorkerStatus,
)
from nervio.web.bodies import instant_of
from nervio.web.lists import ExportQuery
from nervio.web.values import NO_NUL, Moment, RequestBody

PriorityName = Literal["high", "normal", "low"]
_NAMES: dict[Priority, PriorityName] = {Priority.HIGH: "high", Priority.NORMAL: "normal", Priority.LOW: "low"}
_NUMBERS = {name: priority for priority, name in _NAMES.items()}

MOST_AT_ONCE = 1000

KindName = Annotated[str, Field(min_length=1, max_length=40, pattern=NO_NUL)]


class TaskBody(RequestBody):
    """A task to be done."""

    kind: KindName = Field(
        description="chat, vision, embed, ocr, transcribe, or a kind that a worker of yours brings.", examples=["chat"]
    )
    payload: dict[str, Any] = Field(
        description="What the kind needs. Large files are stored first and named here.",
        examples=[{"messages": [{"role": "user", "content": "¿Qué vendimos ayer?"}]}],
    )
    model: str = Field("", max_length=200, pattern=NO_NUL, description="Which model; empty for any that does the kind.")
    priority: PriorityName = Field("normal", description="None starves: the longer a task waits, the more it counts.")
    deadline_at: Moment | None = Field(
        None, description="After this nobody wants it any more.", examples=["2099-03-01T12:00:00Z"]
    )
    retries: int = Field(3, ge=0, le=20, description="How often it is tried again, with growing pauses.")
    size: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="How much work it is, in tokens, pages or seconds; 0 lets it be estimated.",
    )
    cache: bool | None = Field(
        None,
        description="Whether the answer to an equal task will do. Left out: yes for chat, vision, embed, ocr and transcribe.",
    )

    def to_task(self) -> SubmitTask:
        """The task as the use case takes it."""
        return SubmitTask(
            self.kind,
            json.dumps(self.payload, ensure_ascii=False, separators=(",", ":")),
            self.model,
            _NUMBERS[self.priority],
            instant_of(self.deadline_at, "deadline_at"),
            self.retries,
            self.size,
            self.cache,
        )


class BatchedTask(TaskBody):
    """One of many."""

    idempotency_key: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)] | None = Field(
        None, description="Send the same key again after a lost answer: the task is queued once."
    )


class TasksBody(RequestBody):
    """Many tasks, each with its own verdict."""

    tasks: list[BatchedTask] = Field(min_length=1, max_length=MOST_AT_ONCE)


class QueuedReply(BaseModel):
    """A task that was queued."""

    id: str
    state: TaskState
    created_at: Moment

    @classmethod
    def of(cls, queued: TaskQueued) -> QueuedReply:
        """The answer for it."""
        return cls(id=queued.id, state=queued.state, created_at=to_iso(queued.created_at))


class TaskVerdict(BaseModel):
    """What became of one of many: the task, or the problem."""

    task: QueuedReply | None = None
    problem: dict[str, Any] | None = Field(
        None, description="Problem details, as a request for this task alone gets them."
    )


class TasksReply(BaseModel):
    """The verdicts in the order of the tasks."""

    tasks: list[TaskVerdict]


class MovedReply(BaseModel):
    """What a task is now."""

    id: str
    state: TaskState


class TaskQuery(ExportQuery):
    """What the list of tasks is narrowed by."""

    state: TaskState | None = Field(None, description="Only tasks in this state.")
    kind: KindName | None = Field(None, description="Only tasks of this kind.")
    results: bool = Field(True, description="`false` leaves results out, which may be most of the weight of a page.")


class TaskReply(BaseModel):
    """A task as it stands."""

    id: str
    kind: str = Field(examples=["chat"])
    model: str
    priority: PriorityName
    state: TaskState
    payload: Any
    size: int
    attempts: int = Field(description="Attempts so far; one that was handed back is not counted.")
    most_attempts: int
    worker: str | None = Field(description="Who has it, or did it.")
    result: Any = Field(None, description="What it came to, once it is done.")
    usage: Any = Field(None, description="What it cost, as its worker says; of an answer from the cache what it saved.")
    error: str | None
    created_by: str
    created_at: Moment
    run_at: Moment = Field(description="It is not tried before.")
    deadline_at: Moment | None
    started_at: Moment | None
    ended_at: Moment | None

    @classmethod
    def of(cls, task: Task) -> TaskReply:
        """The answer for a task."""
        return cls(**_fields(task))


class AttemptReply(BaseModel):
    """One try at a task."""

    n: int = Field(description="How manieth; handing back counts none.")
    worker: str
    ending: str = Field(description="done, failed, handed_back, lost, cancelled or overdue.")
    error: str | None
    started_at: Moment
    ended_at: Moment

    @classmethod
    def of(cls, one: Attempt) -> AttemptReply:
        """The answer for an attempt."""
        return cls(
            n=one.n,
            worker=one.worker,
            ending=one.ending.value,
            error=one.error,
            started_at=to_iso(one.started_at),
            ended_at=to_iso(one.ended_at),
        )


class TaskWithAttempts(TaskReply):
    """A task and its attempts that have ended."""

    history: list[AttemptReply]

    @classmethod
    def with_attempts(cls, task: Task, attempts: list[Attempt]) -> TaskWithAttempts:
        """The answer for both."""
        return cls(**_fields(task), history=[AttemptReply.of(one) for one in attempts])


class WorkerReply(BaseModel):
    """A worker. Workers serve all tenants."""

    id: str
    status: WorkerStatus
    transport: str = Field(examples=["local"])
    kinds: list[str]
    models: list[str]
    slots: int = Field(description="Tasks that it works on at once.")
    credit: int = Field(description="Tasks that it holds at most.")
    version: str
    language: str
    in_flight: int
    tasks_completed: int
    tasks_failed: int
    avg_time: float = Field(description="Seconds that it works on a task it completes.")
    first_seen: Moment
    last_seen: Moment

    @classmethod
    def of(cls, one: WorkerRecord) -> WorkerReply:
        """The answer for a worker."""
        return cls(
            id=one.id,
            status=one.status,
            transport=one.transport,
            kinds=list(one.kinds),
            models=list(one.models),
            slots=one.slots,
            credit=one.credit,
            version=one.version,
            language=one.language,
            in_flight=one.in_flight,
            tasks_completed=one.tasks_completed,
            tasks_failed=one.tasks_failed,
            avg_time=average_seconds(one),
            first_seen=to_iso(one.first_seen),
            last_seen=to_iso(one.last_seen),
        )


class PredictionReply(BaseModel):
    """How long a kind of task takes somewhere."""

    kind: str
    model: str
    worker: str = Field(description="Empty: of all workers.")
    samples: int
    seconds: float = Field(description="For a task of usual size.")
    error: float = Field(description="How far off predictions usually are, as |ln(took / predicted)|.")

    @classmethod
    def of(cls, one: Prediction) -> PredictionReply:
        """The answer for a prediction."""
        return cls(
            kind=one.kind,
            model=one.model,
            worker=one.worker,
            samples=one.samples,
            seconds=round(one.seconds, 6),
            error=round(one.error, 4),
        )


class WorkersReply(BaseModel):
    """All workers, and what has been learnt of how long tasks take."""

    workers: list[WorkerReply]
    predictions: list[PredictionReply]


class SystemFigures(BaseModel):
    """The system of statistics."""

    uptime: float = Field(description="Seconds that this process has run.")
    total_tasks: int
    active_workers: int
    queue_length: int


class PerformanceFigures(BaseModel):
    """Seconds from a task's submission to its result, of the last hour; tasks a minute."""

    avg_response_time: float
    p95_response_time: float
    p99_response_time: float
    throughput: float = Field(description="Tasks done in the last minute.")


class ErrorFigures(BaseModel):
    """Attempts that failed."""

    total_errors: int
    error_rate: float = Field(description="Of all attempts that came to an end by themselves.")
    last_error: str | None


class WorkerFigures(BaseModel):
    """A worker in the statistics."""

    id: str
    status: WorkerStatus
    tasks_completed: int
    avg_time: float
    last_seen: Moment


class StatisticsReply(BaseModel):
    """How the fleet does."""

    system: SystemFigures
    performance: PerformanceFigures
    errors: ErrorFigures
    workers: list[WorkerFigures]

    @classmethod
    def of(cls, uptime: float, figures: Statistics, workers: list[WorkerRecord]) -> StatisticsReply:
        """The answer for a tenant's figures and all workers."""
        return cls(
            system=SystemFigures(
                uptime=round(uptime, 1),
                total_tasks=figures.total_tasks,
                active_workers=sum(1 for one in workers if one.status is not WorkerStatus.GONE),
                queue_length=figures.queue_length,
            ),
            performance=PerformanceFigures(
                avg_response_time=round(figures.average_seconds, 6),
                p95_response_time=round(figures.p95_seconds, 6),
                p99_response_time=round(figures.p99_seconds, 6),
                throughput=figures.throughput,
            ),
            errors=ErrorFigures(
                total_errors=figures.total_errors,
                error_rate=round(figures.error_rate, 6),
                last_error=figures.last_error,
            ),
            workers=[
                WorkerFigures(
                    id=one.id,
                    status=one.status,
                    tasks_completed=one.tasks_completed,
                    avg_time=average_seconds(one),
                    last_seen=to_iso(one.last_seen),
                )
                for one in workers
            ],
        )


def average_seconds(one: WorkerRecord) -> float:
    """Seconds that a worker spends on a task it completes; 0 before the first."""
    return round(one.worked_ms / one.tasks_completed / 1000, 6) if one.tasks_completed else 0.0


def _fields(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": task.kind,
        "model": task.model,
        "priority": _NAMES[task.priority],
        "state": task.state,
        "payload": task.payload,
        "size": task.size,
        "attempts": task.attempts,
        "most_attempts": task.most_attempts,
        "worker": task.worker,
        "result": task.result,
        "usage": task.usage,
        "error": task.error,
        "created_by": task.created_by,
        "created_at": to_iso(task.created_at),
        "run_at": to_iso(task.run_at),
        "deadline_at": _iso(task.deadline_at),
        "started_at": _iso(task.started_at),
        "ended_at": _iso(task.ended_at),
    }


def _iso(moment: Instant | None) -> str | None:
    return None if moment is None else to_iso(moment)
