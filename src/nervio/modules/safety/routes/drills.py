"""Trying the stop without anybody noticing."""

from __future__ import annotations

from fastapi import APIRouter, Request

from nervio.modules.safety.api import drills as api
from nervio.modules.safety.schemas.drills import DrillReply, DrillRequest, DrillScopeReply, DrillsReply
from nervio.web.request import CurrentCtx, Limit

router = APIRouter(prefix="/api/admin/emergency", tags=["emergency"])


@router.get("/drills", summary="When each stop was last tried")
async def list_drills(request: Request, ctx: CurrentCtx, limit: Limit = 50) -> DrillsReply:
    """Every scope of the shop and the installation, red ones first, and the last drills."""
    red_after_days = request.app.state.settings.safety.drill_red_after_days
    return DrillsReply(
        scopes=[DrillScopeReply.of(stand) for stand in await api.list_scopes(ctx, red_after_days)],
        items=[DrillReply.of(drill) for drill in await api.list_drills(ctx, limit=limit)],
    )


@router.post("/drills", summary="Try a stop")
async def run_drill(ctx: CurrentCtx, body: DrillRequest) -> DrillReply:
    """Through the real path, on a scope that nobody works in. A drill that failed is a 200 with findings."""
    return DrillReply.of(await api.run_drill(ctx, body.scope, body.module))
