"""Holds over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.stock import api
from nervio.modules.stock.metrics import count_shortages
from nervio.modules.stock.schemas.documents import REQUEST_NAMES
from nervio.modules.stock.schemas.holds import HoldBody, HoldOut, HoldQuery, HoldSettledOut, SettleBody
from nervio.web.access import needs
from nervio.web.bodies import in_terms_of
from nervio.web.lists import page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api/stock/holds", tags=["stock"])

HoldId = Annotated[str, Path(pattern=ID_PATTERN, description="The hold's id.")]
_WRITES = refusals(Kind.NOT_FOUND, Kind.CONFLICT, Kind.TOO_MANY)


@router.post(
    "",
    operation_id="place_hold",
    summary="Hold units",
    status_code=201,
    response_model=HoldSettledOut,
    responses=_WRITES,
    **needs("stock.hold"),
)
async def place_hold(ctx: CurrentCtx, key: IdempotencyKey, body: HoldBody, request: Request) -> HoldSettledOut:
    """Promises units for a while, all lines or none: nobody else can buy them until it is claimed, released or expires."""
    try:
        hold = body.to_input()
        if hold.seconds is None:
            hold = replace(hold, seconds=_usual_seconds(request))
        return HoldSettledOut.of(await api.place_hold(ctx, hold, key))
    except NervioError as error:
        count_shortages(error.data.get("shortages"))
        raise in_terms_of(error, REQUEST_NAMES) from None


@router.get(
    "",
    operation_id="list_holds",
    summary="List holds",
    response_model=Page[HoldOut],
    responses=refusals(Kind.NOT_FOUND),
    **needs("stock.read"),
)
async def list_holds(ctx: CurrentCtx, query: Annotated[HoldQuery, Query()]) -> Page[HoldOut]:
    """Holds, the newest first. The filters narrow together."""
    product_id = None if query.product is None else (await catalog.get_product(ctx, query.product)).id
    before = position_of(query.cursor, "id")
    found = await api.list_holds(ctx, query.state, product_id, None if before is None else before[0], query.limit + 1)
    return page_of(found, query.limit, HoldOut.of, lambda hold: (hold.id,))


@router.get(
    "/{hold_id}",
    operation_id="get_hold",
    summary="Get one hold",
    response_model=HoldOut,
    responses=refusals(Kind.NOT_FOUND),
    **needs("stock.read"),
)
async def get_hold(ctx: CurrentCtx, hold_id: HoldId) -> HoldOut:
    """One hold with its lines and the state it is in."""
    return HoldOut.of(await api.get_hold(ctx, hold_id))


@router.post(
    "/{hold_id}/claim",
    operation_id="claim_hold",
    summary="Claim a hold",
    response_model=HoldSettledOut,
    responses=_WRITES,
    **needs("stock.hold"),
)
async def claim_hold(
    ctx: CurrentCtx, key: IdempotencyKey, hold_id: HoldId, body: SettleBody | None = None
) -> HoldSettledOut:
    """Turns the promise into units that leave. A hold that is settled or expired is a conflict."""
    return HoldSettledOut.of(await api.claim_hold(ctx, hold_id, "" if body is None else body.reference, key))


@router.post(
    "/{hold_id}/release",
    operation_id="release_hold",
    summary="Release a hold",
    response_model=HoldSettledOut,
    responses=_WRITES,
    **needs("stock.hold"),
)
async def release_hold(
    ctx: CurrentCtx, key: IdempotencyKey, hold_id: HoldId, body: SettleBody | None = None
) -> HoldSettledOut:
    """Gives the units back to everyone. Passes a stop of the level `reduce_only`."""
    return HoldSettledOut.of(await api.release_hold(ctx, hold_id, "" if body is None else body.reference, key))


def _usual_seconds(request: Request) -> int:
    """How long a hold lasts that names no time: the shop's setting, which the runtime puts into the application's state."""
    settings = getattr(request.app.state, "settings", None)
    return api.DEFAULT_HOLD_SECONDS if settings is None else int(settings.stock.hold_ttl_seconds)
