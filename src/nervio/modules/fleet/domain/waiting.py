"""Why a task is not being done."""

from __future__ import annotations

from collections.abc import Sequence

from nervio.kernel.time import SECOND, Instant
from nervio.modules.fleet.contracts import Task, WaitReason, WorkerRecord, WorkerStatus

SILENT_SECONDS = 60.0
"""A worker that nobody has written down for so long is not there, whatever its record says: who would have marked it as gone may
be gone itself."""


def why_waiting(task: Task, workers: Sequence[WorkerRecord], now: Instant, *, stopped: bool) -> WaitReason:
    """The reason of a task that waits, given all workers as they were written down."""
    heard = now - int(SILENT_SECONDS * SECOND)
    present = [worker for worker in workers if worker.status is not WorkerStatus.GONE and worker.last_seen > heard]
    of_kind = [worker for worker in present if task.kind in worker.kinds]
    if stopped:
        return WaitReason.STOPPED
    if not present:
        return WaitReason.NO_WORKER
    if not of_kind:
        return WaitReason.NO_KIND
    if task.model and not any(task.model in worker.models for worker in of_kind):
        return WaitReason.NO_MODEL
    return WaitReason.PAUSE if task.run_at > now else WaitReason.TURN
