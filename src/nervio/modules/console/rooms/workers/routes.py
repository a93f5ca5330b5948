"""All workers, how long they take as far as it has been learnt, and what the shop used this month."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.time import SECOND, Instant, to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import open_frame
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import Prediction, Usage, WorkerRecord, WorkerStatus

WORKERS = "/console/workers"
FEW_SAMPLES = 5
"""Below these a prediction is a first impression, whatever its error."""
SURE, FAIR = 15, 50
"""Percent that predictions may be off to be called sure or fair."""
JUST_NOW_SECONDS = 15
"""Workers are written down every few seconds; nobody is later than that."""

router = page_router()


@router.get(WORKERS)
async def show_workers(request: Request) -> Response:
    """Workers of the whole installation, those that are there first; below what is known of their speed, and the use."""
    frame = await open_frame(request, api.READ)
    now = frame.ctx.clock.now()
    today = to_datetime(now).date()
    used = await api.read_usage(frame.ctx, today.replace(day=1).isoformat(), today.isoformat())
    found = sorted(await api.list_workers(frame.ctx), key=lambda one: (one.status is WorkerStatus.GONE, one.id))
    context = {
        "workers": [_worker(one, now) for one in found],
        "present": sum(one.status is not WorkerStatus.GONE for one in found),
        "predictions": [_prediction(one) for one in await api.list_predictions(frame.ctx)],
        "usage": [_usage(one) for one in used],
        # At noon, so that it is the same day in the zone of the shop.
        "month": to_datetime(now).replace(day=1, hour=12),
    }
    return frame.page("workers", context)


def _worker(one: WorkerRecord, now: Instant) -> dict[str, Any]:
    silent = max(now - one.last_seen, 0) / SECOND
    return {
        "id": one.id,
        "status": one.status.value,
        "transport": one.transport,
        "kinds": one.kinds,
        "models": one.models,
        "in_flight": one.in_flight,
        "credit": one.credit,
        "done": one.tasks_completed,
        "failed": one.tasks_failed,
        "mean": one.worked_ms / one.tasks_completed / 1000 if one.tasks_completed else None,
        "version": one.version,
        "language": one.language,
        "silent": None if silent < JUST_NOW_SECONDS else silent,
    }


def _prediction(one: Prediction) -> dict[str, Any]:
    # The error is the mean of |ln(took / predicted)|: people think in percent.
    off = round(100 * math.expm1(min(one.error, 10.0)))
    known = "few" if one.samples < FEW_SAMPLES else "sure" if off <= SURE else "fair" if off <= FAIR else "rough"
    return {
        "kind": one.kind,
        "model": one.model,
        "worker": one.worker,
        "samples": one.samples,
        "seconds": one.seconds,
        "off": off,
        "known": known,
    }


def _usage(one: Usage) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "submitted": one.submitted,
        "done": one.done,
        "failed": one.failed,
        "cancelled": one.cancelled,
        "attempts_failed": one.attempts_failed,
        "worked": one.worked_ms / 1000,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
    }
