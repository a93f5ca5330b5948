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
    estimated. `retries` is how often it is tried again after the first attempt. `cache` says whether the answer to an equal task
    will do, that of one which is being done included; None leaves it to the kind: those that everybody knows say yes.
    """

    kind: str
    payload: str
    model: str = ""
    priority: Priority = Priority.NORMAL
    deadline_at: Instant | None = None
    retries: int = 3
    size: int = 0
    cache: bool | None = None


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
    OVER_LIMIT = "over_limit"
    """The tenant has used up its tokens or its money for the day or the month."""
    SHARE = "share"
    """As many of the tenant's tasks run as may at once."""
    PAUSE = "pause"
    """It is not tried before `run_at`: its last attempt failed."""
    SAME = "same"
    """The same was asked before and is being answered: it gets that answer."""
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
    cached: int
    """Done with the answer to an equal task."""
    saved_input_tokens: int
    saved_output_tokens: int


@dataclass(frozen=True, slots=True)
class Spend:
    """What tasks of one kind cost in one currency over a span of days. `cost_micros` is in millionths of the currency's unit;
    `tasks` are those that were done, the cost is also that of attempts which failed; `saved_micros` is what tasks would have cost that
    got the answer to an equal one."""

    kind: str
    currency: str
    tasks: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    saved_micros: int = 0


class Measure(StrEnum):
    """What is limited."""

    TASKS = "tasks"
    TOKENS = "tokens"
    MONEY = "money"


class Period(StrEnum):
    """Over what; both in UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class MoneyLimit:
    """The most that may be spent in a currency, in millionths of its unit; None for any sum."""

    currency: str
    per_day_micros: int | None = None
    per_month_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may use; None for as much as it likes. `most_running` are tasks at once, by all workers."""

    tasks_per_day: int | None = None
    tasks_per_month: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    most_running: int | None = None
    money: tuple[MoneyLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit and how much of it is used; money in millionths. `free_at` is when the count begins anew."""

    measure: Measure
    period: Period
    currency: str
    used: int
    limit: int
    free_at: Instant

    @property
    def is_reached(self) -> bool:
        """Whether nothing more is taken."""
        return self.used >= self.limit


@dataclass(frozen=True, slots=True)
class LimitsState:
    """The limits of a tenant with what is used of them, and who changed them last."""

    limits: Limits
    quotas: tuple[Quota, ...]
    running: int
    changed_by: str | None
    changed_at: Instant | None


@dataclass(frozen=True, slots=True)
class BillLine:
    """A kind in one currency; the currency is empty for what was free, or had no known price. Amounts are in millionths,
    `charged_micros` with the mark-up."""

    kind: str
    currency: str
    tasks: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    charged_micros: int


@dataclass(frozen=True, slots=True)
class BillTotal:
    """The sum of a currency: exact in millionths, and rounded once to the currency's minor units."""

    currency: str
    cost_micros: int
    charged_micros: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Bill:
    """What a tenant used in a month of UTC. Until the month is over it `is_final` not, and goes up to `made_at`."""

    tenant_name: str
    month: str
    is_final: bool
    made_at: Instant
    markup_bp: int
    lines: tuple[BillLine, ...]
    totals: tuple[BillTotal, ...]


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
