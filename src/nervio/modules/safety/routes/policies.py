"""The policy of stops, and the second person. Reachable while everything else is stopped, like the stop itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from nervio.kernel.errors import not_found
from nervio.kernel.ids import is_id
from nervio.modules.safety.api import policies as api
from nervio.modules.safety.contracts.halts import Pending, Scope
from nervio.modules.safety.routes.halts import PENDING, see
from nervio.modules.safety.schemas.halts import PendingReply
from nervio.modules.safety.schemas.policies import (
    PolicyReply,
    PolicyRequest,
    PolicySavedReply,
    SettledReply,
    SettleRequest,
    ThawRequestsReply,
)
from nervio.web.request import CurrentCtx, Limit

router = APIRouter(prefix="/api/admin/emergency", tags=["emergency"])


@router.get("/policy", summary="How stops and thaws go")
async def get_policy(
    ctx: CurrentCtx, scope: Annotated[Scope, Query(description="Whose policy.")] = Scope.TENANT
) -> PolicyReply:
    """The policy of the caller's shop, or of the installation."""
    return PolicyReply.of(await api.get_policy(ctx, scope))


@router.put("/policy", summary="Change how stops and thaws go", responses=PENDING)
async def put_policy(response: Response, ctx: CurrentCtx, body: PolicyRequest) -> PolicySavedReply | PendingReply:
    """Admins their shop's, superadmins the installation's. A 202 with `requested` waits for a second person."""
    changes = body.model_dump(exclude={"scope"}, exclude_none=True)
    answer = await api.save_policy(ctx, body.scope, **changes)
    if isinstance(answer, Pending):
        response.status_code = 202
        return PendingReply.of(answer)
    if answer.requested is not None:
        response.status_code = 202
    return PolicySavedReply.of(answer)


@router.get("/thaw-requests", summary="What waits for a second person")
async def list_requests(ctx: CurrentCtx, limit: Limit = 50) -> ThawRequestsReply:
    """Settled ones too, the newest first."""
    return ThawRequestsReply.of(await api.list_requests(ctx, limit=limit))


@router.post("/thaw-requests/{request_id}/confirm", summary="Confirm as the second person", responses=PENDING)
async def confirm(
    request: Request, response: Response, ctx: CurrentCtx, request_id: str, body: SettleRequest
) -> SettledReply | PendingReply:
    """Somebody else than who asked, signed in: a key counts as nobody."""
    return await _settle(request, response, ctx, request_id, body, confirms=True)


@router.post("/thaw-requests/{request_id}/refuse", summary="Refuse or take back", responses=PENDING)
async def refuse(
    request: Request, response: Response, ctx: CurrentCtx, request_id: str, body: SettleRequest
) -> SettledReply | PendingReply:
    """Anyone who may resume, whoever asked included."""
    return await _settle(request, response, ctx, request_id, body, confirms=False)


async def _settle(
    request: Request, response: Response, ctx: CurrentCtx, request_id: str, body: SettleRequest, *, confirms: bool
) -> SettledReply | PendingReply:
    if not is_id(request_id):
        raise not_found("request", request_id)
    answer = await api.settle(ctx, request_id, body.note, confirms=confirms)
    if isinstance(answer, Pending):
        response.status_code = 202
        return PendingReply.of(answer)
    await see(request)
    return SettledReply.of(answer)
