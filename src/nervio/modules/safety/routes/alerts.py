"""Alerts and where they go, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind
from nervio.modules.identity import api as identity
from nervio.modules.safety.api import alerts as api
from nervio.modules.safety.schemas.actions import DeletedReply
from nervio.modules.safety.schemas.alerts import (
    AcknowledgedReply,
    AlertRaisedReply,
    AlertReply,
    DestinationReply,
    DestinationRequest,
)
from nervio.web.access import needs
from nervio.web.lists import page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, Cursor, IdempotencyKey, Limit
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api/safety", tags=["alerts"])

AlertId = Annotated[str, Path(pattern=ID_PATTERN)]
DestinationId = Annotated[str, Path(pattern=ID_PATTERN)]


@router.get(
    "/alerts", operation_id="list_alerts", summary="Alerts", responses=refusals(Kind.TOO_MANY), **needs(api.READ)
)
async def list_alerts(
    ctx: CurrentCtx,
    limit: Limit = 50,
    cursor: Cursor = None,
    acknowledged: Annotated[bool | None, Query(description="Only those seen, or only those not seen yet.")] = None,
) -> Page[AlertReply]:
    """The last raised first, in the shop's language."""
    before = position_of(cursor, "int", "id")
    tenant = await identity.get_current_tenant(replace(ctx, permissions=None))
    found = await api.list_alerts(ctx, acknowledged=acknowledged, before=before, limit=limit + 1)
    return page_of(found, limit, lambda one: AlertReply.of(one, tenant.language), lambda one: (one.last_at, one.id))


@router.post(
    "/alerts/{alert_id}/acknowledge",
    operation_id="acknowledge_alert",
    summary="Say that an alert was seen",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.ACKNOWLEDGE_ALERTS),
)
async def acknowledge(ctx: CurrentCtx, key: IdempotencyKey, alert_id: AlertId) -> AcknowledgedReply:
    """The first who saw it stays."""
    return AcknowledgedReply(id=(await api.acknowledge_alert(ctx, alert_id, key)).id)


@router.get(
    "/alert-destinations",
    operation_id="list_alert_destinations",
    summary="Where alerts go",
    responses=refusals(Kind.TOO_MANY),
    **needs(api.MANAGE_ALERTS),
)
async def list_destinations(ctx: CurrentCtx) -> Page[DestinationReply]:
    """All by name, in one page, each with what became of its newest delivery."""
    return Page(items=[DestinationReply.of(one) for one in await api.list_destinations(ctx)], next_cursor=None)


@router.post(
    "/alert-destinations",
    operation_id="create_alert_destination",
    summary="Add a destination",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE_ALERTS),
)
async def create_destination(
    request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: DestinationRequest
) -> DestinationReply:
    """Its secrets are sealed and never told again."""
    return await _save(request, ctx, key, body, None)


@router.put(
    "/alert-destinations/{destination_id}",
    operation_id="change_alert_destination",
    summary="Change a destination",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE_ALERTS),
)
async def change_destination(
    request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: DestinationRequest, destination_id: DestinationId
) -> DestinationReply:
    """Secrets that are left out stay."""
    return await _save(request, ctx, key, body, destination_id)


@router.delete(
    "/alert-destinations/{destination_id}",
    operation_id="delete_alert_destination",
    summary="Delete a destination",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE_ALERTS),
)
async def delete_destination(ctx: CurrentCtx, key: IdempotencyKey, destination_id: DestinationId) -> DeletedReply:
    """Its secrets are gone for good, and what was still to be sent there is not sent."""
    return DeletedReply.of(await api.delete_destination(ctx, destination_id, key))


@router.post(
    "/alert-destinations/{destination_id}/test",
    operation_id="test_alert_destination",
    summary="Send a TestAlert",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE_ALERTS),
)
async def try_destination(ctx: CurrentCtx, key: IdempotencyKey, destination_id: DestinationId) -> AlertRaisedReply:
    """To this destination only; its `last_state` then says whether it arrived."""
    return AlertRaisedReply.of(await api.try_destination(ctx, destination_id, key))


async def _save(
    request: Request, ctx: Ctx, key: str | None, body: DestinationRequest, destination_id: str | None
) -> DestinationReply:
    saved = await api.save_destination(
        ctx,
        request.app.state.vault,
        body.name,
        body.kind,
        body.fields,
        destination_id=destination_id,
        least_severity=body.least_severity,
        active=body.active,
        key=key,
    )
    return DestinationReply.of(saved)
