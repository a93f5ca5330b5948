"""Background jobs as requests and answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from nervio.kernel.time import Instant, to_iso
from nervio.modules.jobs.contracts import JobMoved, JobRecord, JobState, JobWait
from nervio.web.lists import ExportQuery
from nervio.web.values import NO_NUL

PriorityName = Literal["high", "normal", "low"]
_NAMES: tuple[PriorityName, ...] = ("high", "normal", "low")


class JobQuery(ExportQuery):
    """Which jobs."""

    state: JobState | None = Field(None, description="Only those in a state.")
    name: str | None = Field(None, max_length=80, pattern=NO_NUL, description="Only those of a name.")


class JobReply(BaseModel):
    """A background job as it stands."""

    id: str
    name: str = Field(description="Which work it is, as `module.verb`.", examples=["console.import_products"])
    state: JobState
    wait: JobWait | None = Field(
        description="Why it waits; `unknown`: this program has no module that does such jobs. Null unless it waits."
    )
    priority: PriorityName
    payload: Any = Field(description="What it was asked for with; null in lists.")
    result: Any = Field(description="What came of it; null until it is done, and in lists.")
    error: str | None = Field(description="What the last attempt that failed said.")
    done: int | None = Field(description="How far it has come, of `total`; null where it does not say.")
    total: int | None
    attempts: int = Field(description="Attempts since it last came further.")
    most_attempts: int
    created_by: str
    created_at: str
    run_at: str = Field(description="It is not tried before.")
    deadline_at: str | None
    started_at: str | None
    ended_at: str | None

    @classmethod
    def of(cls, job: JobRecord, wait: JobWait | None) -> JobReply:
        """What is shown of a job."""
        return cls(
            id=job.id,
            name=job.name,
            state=job.state,
            wait=wait,
            priority=_NAMES[job.priority],
            payload=job.payload,
            result=job.result,
            error=job.error,
            done=job.done,
            total=job.total,
            attempts=job.attempts,
            most_attempts=job.most_attempts,
            created_by=job.created_by,
            created_at=to_iso(job.created_at),
            run_at=to_iso(job.run_at),
            deadline_at=_iso(job.deadline_at),
            started_at=_iso(job.started_at),
            ended_at=_iso(job.ended_at),
        )


class JobMovedReply(BaseModel):
    """What a job is after it was cancelled or queued again."""

    id: str
    state: JobState

    @classmethod
    def of(cls, moved: JobMoved) -> JobMovedReply:
        """What is shown of it."""
        return cls(id=moved.id, state=moved.state)


def _iso(instant: Instant | None) -> str | None:
    return None if instant is None else to_iso(instant)
