"""Why a task is not being done."""

from __future__ import annotations

from collections.abc import Sequence

from nervio.kernel.time import Instant
from nervio.modules.fleet.contracts import Task, WaitReason, WorkerRecord, WorkerStatus


def why_waiting(task: Task, workers: Sequence[WorkerRecord], now: Instant, *, stopped: bool) -> WaitReason:
    """The reason of a task that waits, given all workers as they were written down."""
    present = [worker for worker in workers if worker.status is not WorkerStatus.GONE]
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
