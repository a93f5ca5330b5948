"""Why a task is not being done."""

from __future__ import annotations

from collections.abc import Sequence

from nervio.kernel.time import LATEST, SECOND, Instant
from nervio.modules.fleet.contracts import LimitsState, Task, WaitReason, WorkerRecord, WorkerStatus
from nervio.modules.fleet.domain.limits import find_reached

SILENT_SECONDS = 60.0
"""A worker that nobody has written down for so long is not there, whatever its record says: who would have marked it as gone may
be gone itself."""


def why_waiting(
    task: Task, workers: Sequence[WorkerRecord], now: Instant, *, stopped: bool, state: LimitsState
) -> WaitReason:
    """The reason of a task that waits, given all workers as they were written down and the limits of its tenant."""
    heard = now - int(SILENT_SECONDS * SECOND)
    present = [worker for worker in workers if worker.status is not WorkerStatus.GONE and worker.last_seen > heard]
    of_kind = [worker for worker in present if task.kind in worker.kinds]
    if stopped:
        return WaitReason.STOPPED
    if task.run_at == LATEST:
        return WaitReason.SAME
    if find_reached(state.quotas, also_tasks=False) is not None:
        return WaitReason.OVER_LIMIT
    if not present:
        return WaitReason.NO_WORKER
    if not of_kind:
        return WaitReason.NO_KIND
    if task.model and not any(task.model in worker.models for worker in of_kind):
        return WaitReason.NO_MODEL
    if task.run_at > now:
        return WaitReason.PAUSE
    most = state.limits.most_running
    return WaitReason.SHARE if most is not None and state.running >= most else WaitReason.TURN
