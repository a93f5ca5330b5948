"""What works background jobs off in a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nervio.db.context import Ctx
from nervio.db.halt import Halt
from nervio.db.jobs import Job
from nervio.modules.jobs.api import JobRunner
from nervio.modules.jobs.settings import JobsSettings

ALONE_LEASE_SECONDS = 60.0
"""Alone on its database, nobody could take anything over: leases end with the lock of the data directory, and each renewal is a
durable write that can be spared."""


def make_job_runner(
    settings: JobsSettings,
    ctx: Ctx,
    process_id: str,
    jobs: Sequence[Job],
    find_blocking: Callable[[str, str], Halt | None],
    *,
    alone: bool,
) -> JobRunner:
    """The runner of a process; not started."""
    return JobRunner(
        ctx,
        process_id,
        jobs,
        find_blocking,
        most_at_once=settings.most_at_once,
        lease_seconds=ALONE_LEASE_SECONDS if alone else settings.owner_lease_seconds,
    )
