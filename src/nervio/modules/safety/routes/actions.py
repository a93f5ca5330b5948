"""Orders to campaigns, campaigns, and the accounts they run on, over HTTP. Orders can be given and seen during a stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from nervio.db.context import Ctx
from nervio.db.vault import Vault
from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.modules.safety.api import actions as api
from nervio.modules.safety.contracts.actions import MANUAL, ActionRecord, ActionState
from nervio.modules.safety.schemas.actions import (
    ActionReply,
    ActionsReply,
    CampaignReply,
    CampaignRequest,
    ConnectionReply,
    ConnectionRequest,
    DeletedReply,
    OrderRequest,
    ReadingReply,
)
from nervio.web.access import needs
from nervio.web.bodies import in_terms_of
from nervio.web.lists import page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, Cursor, IdempotencyKey, Limit
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api/safety", tags=["actions"])

ActionId = Annotated[str, Path(pattern=ID_PATTERN)]
CampaignId = Annotated[str, Path(pattern=ID_PATTERN)]
ConnectionId = Annotated[str, Path(pattern=ID_PATTERN)]

_ORDER_NAMES = {"products": "product_ids", "campaigns": "campaign_ids"}
_CAMPAIGN_NAMES = {"daily_budget": "daily_budget_minor"}


@router.get(
    "/actions",
    operation_id="list_actions",
    summary="Orders to campaigns",
    responses=refusals(Kind.TOO_MANY),
    **needs(api.READ),
)
async def list_actions(
    ctx: CurrentCtx,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[list[ActionState] | None, Query(description="Only those in these states.")] = None,
    unconfirmed: Annotated[
        bool, Query(description="Only pauses whose campaigns may still be spending, in one page.")
    ] = False,
) -> Page[ActionReply]:
    """The newest first; the unconfirmed ones by how much they need somebody."""
    now = ctx.clock.now()
    if unconfirmed:
        return Page(items=[ActionReply.of(one, now) for one in await api.list_unconfirmed(ctx)], next_cursor=None)
    found = await api.list_actions(ctx, states=state, before=position_of(cursor, "int", "id"), limit=limit + 1)
    return page_of(found, limit, lambda one: ActionReply.of(one, now), lambda one: (one.created_at, one.id))


@router.post(
    "/actions/pause",
    operation_id="pause_campaigns",
    summary="Pause campaigns",
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs(api.PAUSE),
)
async def pause(request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: OrderRequest) -> ActionsReply:
    """Books a pause for each campaign; the answer is not the confirmation, the order's `state` becomes it. Works during a
    stop."""
    return await _order(request, ctx, body, key, api.pause_campaigns)


@router.post(
    "/actions/resume",
    operation_id="resume_campaigns",
    summary="Resume campaigns",
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs(api.RESUME),
)
async def resume(request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: OrderRequest) -> ActionsReply:
    """Books a resume for each campaign, whatever had held it. Refused while the shop is stopped."""
    return await _order(request, ctx, body, key, api.resume_campaigns)


@router.get(
    "/actions/{action_id}",
    operation_id="get_action",
    summary="One order",
    responses=refusals(Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.READ),
)
async def get_action(ctx: CurrentCtx, action_id: ActionId) -> ActionReply:
    """How far it has come."""
    return ActionReply.of(await api.get_action(ctx, action_id), ctx.clock.now())


@router.get(
    "/connections",
    operation_id="list_connections",
    summary="Accounts of advertising platforms",
    responses=refusals(Kind.TOO_MANY),
    **needs(api.READ),
)
async def list_connections(ctx: CurrentCtx) -> Page[ConnectionReply]:
    """All by name, in one page."""
    return Page(items=[ConnectionReply.of(one) for one in await api.list_connections(ctx)], next_cursor=None)


@router.post(
    "/connections",
    operation_id="create_connection",
    summary="Add an account",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def create_connection(
    request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: ConnectionRequest
) -> ConnectionReply:
    """Its secrets are sealed and never told again."""
    return await _save_connection(request, ctx, key, body, None)


@router.put(
    "/connections/{connection_id}",
    operation_id="change_connection",
    summary="Change an account",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def change_connection(
    request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: ConnectionRequest, connection_id: ConnectionId
) -> ConnectionReply:
    """Settings are those given; secrets that are left out stay. Closes its breaker."""
    return await _save_connection(request, ctx, key, body, connection_id)


@router.delete(
    "/connections/{connection_id}",
    operation_id="delete_connection",
    summary="Delete an account",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def delete_connection(ctx: CurrentCtx, key: IdempotencyKey, connection_id: ConnectionId) -> DeletedReply:
    """Its secrets are gone for good. Refused while it has campaigns or an order on it is under way."""
    return DeletedReply.of(await api.delete_connection(ctx, connection_id, key))


@router.get(
    "/campaigns",
    operation_id="list_campaigns",
    summary="Campaigns",
    responses=refusals(Kind.TOO_MANY),
    **needs(api.READ),
)
async def list_campaigns(ctx: CurrentCtx, limit: Limit = 50, cursor: Cursor = None) -> Page[CampaignReply]:
    """By name."""
    after = position_of(cursor, "text", "id")
    found = await api.list_campaigns(ctx, after=after, limit=limit + 1)
    return page_of(found, limit, CampaignReply.of, lambda one: (one.name, one.id))


@router.post(
    "/campaigns",
    operation_id="create_campaign",
    summary="Add a campaign",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def create_campaign(
    request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: CampaignRequest
) -> CampaignReply:
    """A campaign that exists on the platform, with the products it advertises."""
    return await _save_campaign(request, ctx, key, body, None)


@router.put(
    "/campaigns/{campaign_id}",
    operation_id="change_campaign",
    summary="Change a campaign",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def change_campaign(
    request: Request, ctx: CurrentCtx, key: IdempotencyKey, body: CampaignRequest, campaign_id: CampaignId
) -> CampaignReply:
    """Its products are those given."""
    return await _save_campaign(request, ctx, key, body, campaign_id)


@router.delete(
    "/campaigns/{campaign_id}",
    operation_id="delete_campaign",
    summary="Delete a campaign",
    responses=refusals(Kind.CONFLICT, Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def delete_campaign(ctx: CurrentCtx, key: IdempotencyKey, campaign_id: CampaignId) -> DeletedReply:
    """Here, and not on its platform. Its orders stay in the history. Refused while one is under way."""
    return DeletedReply.of(await api.delete_campaign(ctx, campaign_id, key))


@router.post(
    "/campaigns/{campaign_id}/check",
    operation_id="check_campaign",
    summary="Read a campaign from its platform",
    responses=refusals(Kind.NOT_FOUND, Kind.TOO_MANY),
    **needs(api.MANAGE),
)
async def check_campaign(request: Request, ctx: CurrentCtx, campaign_id: CampaignId) -> ReadingReply:
    """Asks now, so that one sees whether the account works. Changes nothing."""
    state = request.app.state
    return ReadingReply.of(await api.check_connection(ctx, state.vault, state.platforms, campaign_id))


async def _order(
    request: Request,
    ctx: Ctx,
    body: OrderRequest,
    key: str | None,
    act: Callable[..., Awaitable[Sequence[ActionRecord]]],
) -> ActionsReply:
    try:
        booked = await act(
            ctx,
            products=body.product_ids,
            campaigns=body.campaign_ids,
            reason=body.reason,
            cause=MANUAL,
            key=key,
            deadline_seconds=request.app.state.settings.actions.escalate_seconds,
        )
    except NervioError as error:
        raise in_terms_of(error, _ORDER_NAMES) from None
    now = ctx.clock.now()
    return ActionsReply(actions=[ActionReply.of(one, now) for one in booked])


async def _save_connection(
    request: Request, ctx: Ctx, key: str | None, body: ConnectionRequest, connection_id: str | None
) -> ConnectionReply:
    vault: Vault = request.app.state.vault
    saved = await api.save_connection(
        ctx, vault, body.name, body.platform, body.fields, connection_id=connection_id, active=body.active, key=key
    )
    return ConnectionReply.of(saved)


async def _save_campaign(
    request: Request, ctx: Ctx, key: str | None, body: CampaignRequest, campaign_id: str | None
) -> CampaignReply:
    # The catalog stands above this module; who puts the program together lends its eyes.
    known: set[str] = await request.app.state.find_product_ids(ctx, body.product_ids)
    for n, product_id in enumerate(body.product_ids):
        if product_id not in known:
            raise invalid("product_not_found", f"There is no product {product_id!r} here.", field=f"product_ids[{n}]")
    try:
        return CampaignReply.of(await api.save_campaign(ctx, body.to_command(campaign_id), key))
    except NervioError as error:
        raise in_terms_of(error, _CAMPAIGN_NAMES) from None
