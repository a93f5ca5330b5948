"""Workers, statistics and use over HTTP."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request

from nervio.kernel.time import parse_date
from nervio.modules.fleet import api
from nervio.modules.fleet.schemas.tasks import (
    PredictionReply,
    StatisticsReply,
    WorkerReply,
    WorkersReply,
)
from nervio.modules.fleet.schemas.use import UsageReply, UsagesReply
from nervio.web.access import needs
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx
from nervio.web.values import Day

router = APIRouter(prefix="/api", tags=["fleet"])


@router.get(
    "/workers",
    operation_id="list_workers",
    summary="List workers",
    response_model=WorkersReply,
    responses=refusals(),
    **needs(api.READ),
)
async def list_workers(ctx: CurrentCtx) -> WorkersReply:
    """All workers of the installation with their state of the last seconds, and how long tasks take them."""
    return WorkersReply(
        workers=[WorkerReply.of(one) for one in await api.list_workers(ctx)],
        predictions=[PredictionReply.of(one) for one in await api.list_predictions(ctx)],
    )


@router.get(
    "/stats",
    operation_id="get_fleet_statistics",
    summary="How the fleet does",
    response_model=StatisticsReply,
    responses=refusals(),
    **needs(api.READ),
)
async def get_statistics(request: Request, ctx: CurrentCtx) -> StatisticsReply:
    """The tenant's tasks in figures, and all workers."""
    uptime = time.monotonic() - request.app.state.liveness.started
    return StatisticsReply.of(uptime, await api.get_statistics(ctx), await api.list_workers(ctx))


@router.get(
    "/fleet/usage",
    operation_id="read_fleet_usage",
    summary="What was used",
    response_model=UsagesReply,
    responses=refusals(),
    **needs(api.READ),
)
async def read_usage(
    ctx: CurrentCtx,
    since: Annotated[Day, Query(description="First day, in UTC.", examples=["2026-03-01"])],
    until: Annotated[Day, Query(description="Last day, in UTC.", examples=["2026-03-31"])],
) -> UsagesReply:
    """Tasks, tokens, working time and costs per kind over days."""
    days = parse_date(since, "since"), parse_date(until, "until")
    spent = await api.read_spend(ctx, *days)
    return UsagesReply(usage=[UsageReply.of(one, spent) for one in await api.read_usage(ctx, *days)])
