"""The emergency endpoints. They stay reachable while everything else is stopped."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from nervio.kernel.time import parse_iso
from nervio.modules.safety.api import halts as api
from nervio.modules.safety.contracts.halts import Pending
from nervio.modules.safety.schemas.halts import (
    FreezeRequest,
    FrozenReply,
    HaltReply,
    PendingReply,
    StatusReply,
    ThawedReply,
    UnfreezeRequest,
)
from nervio.web.lists import page_of, position_of
from nervio.web.pages import Page
from nervio.web.request import CurrentCtx, Cursor, Limit

router = APIRouter(prefix="/api/admin/emergency", tags=["emergency"])

PENDING: dict[int | str, dict[str, Any]] = {
    202: {"model": PendingReply, "description": "Asked for but not acknowledged."}
}


@router.get("/status", summary="Whether the installation is stopped")
async def get_status(request: Request) -> StatusReply:
    """Public. Who is logged in also hears of a stop of their own shop. Answered from memory, so also while the database
    hangs; a process that lost the database answers that everything is stopped, because for it everything is."""
    ctx = getattr(request.state, "ctx", None)
    return StatusReply.of(api.summarize(watch_of(request).in_force, None if ctx is None else ctx.tenant_id))


@router.post("/freeze", summary="Stop", responses=PENDING)
async def freeze(
    request: Request, response: Response, ctx: CurrentCtx, body: FreezeRequest
) -> FrozenReply | PendingReply:
    """Anyone on duty may stop their own shop, a superadmin the installation. A 200 is the acknowledgement: no write in the
    scope commits after it. A 202 is none."""
    answer = await api.freeze(
        ctx,
        body.reason,
        scope=body.scope,
        module=body.module,
        location_id=body.location_id,
        level=body.level,
        for_seconds=body.for_seconds,
        expires_at=None if body.expires_at is None else parse_iso(body.expires_at, "expires_at"),
    )
    if isinstance(answer, Pending):
        response.status_code = 202
        return PendingReply.of(answer)
    await see(request)
    return FrozenReply.of(answer)


@router.post("/unfreeze", summary="Resume", responses=PENDING)
async def unfreeze(
    request: Request, response: Response, ctx: CurrentCtx, body: UnfreezeRequest
) -> ThawedReply | PendingReply:
    """An admin may resume their own shop, a superadmin the installation. A 202 with `requested` waits for a second person."""
    answer = await api.unfreeze(
        ctx,
        body.reason,
        scope=body.scope,
        module=body.module,
        location_id=body.location_id,
        level=body.level,
        stages=body.stages,
        halt_id=body.halt_id,
    )
    if isinstance(answer, Pending):
        response.status_code = 202
        return PendingReply.of(answer)
    if answer.requested:
        response.status_code = 202
    await see(request)
    return ThawedReply.of(answer)


@router.get("/halts", summary="Stops in force and past")
async def list_halts(
    ctx: CurrentCtx,
    limit: Limit = 50,
    cursor: Cursor = None,
    active: Annotated[bool | None, Query(description="Only those in force, or only those that are over.")] = None,
) -> Page[HaltReply]:
    """The newest first."""
    found = await api.list_halts(ctx, active=active, before=position_of(cursor, "int", "id"), limit=limit + 1)
    return page_of(found, limit, HaltReply.of, lambda one: (one.activated_at, one.id))


def watch_of(request: Request) -> api.HaltWatch:
    watch = request.app.state.halt_watch
    assert isinstance(watch, api.HaltWatch)
    return watch


async def see(request: Request) -> None:
    """Lets this process know before the answer goes out. What the answer says is true already, whether this works or not:
    a watch that cannot read the store holds everything for stopped."""
    with contextlib.suppress(Exception):
        await watch_of(request).refresh()
