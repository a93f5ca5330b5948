"""Limits and bills over HTTP."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from nervio.kernel.errors import Kind
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import Bill
from nervio.modules.fleet.routes.bill_paper import bill_csv, bill_pdf
from nervio.modules.fleet.schemas.use import BillReply, LimitsBody, LimitsReply
from nervio.web.access import needs
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey

router = APIRouter(prefix="/api/fleet", tags=["fleet"])

Month = Annotated[
    str,
    Query(min_length=7, max_length=7, description="A month in UTC.", examples=["2026-03"], pattern=r"^[0-9-]*$"),
]
Language = Annotated[Literal["es", "en"], Query(description="Of headings.")]


def _file(kind: str, what: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": what, "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


@router.get(
    "/limits",
    operation_id="get_fleet_limits",
    summary="What may be used",
    response_model=LimitsReply,
    responses=refusals(),
    **needs(api.READ),
)
async def get_limits(ctx: CurrentCtx) -> LimitsReply:
    """The tenant's limits, and what is used of them today and this month."""
    return LimitsReply.of(await api.get_limits(ctx))


@router.put(
    "/limits",
    operation_id="change_fleet_limits",
    summary="Change what may be used",
    response_model=LimitsReply,
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs(api.LIMIT),
)
async def change_limits(ctx: CurrentCtx, key: IdempotencyKey, body: LimitsBody) -> LimitsReply:
    """Puts these limits in the place of all there were. What the tenant has used already counts."""
    await api.change_limits(ctx, body.to_limits(), key)
    return LimitsReply.of(await api.get_limits(ctx))


@router.get(
    "/bill",
    operation_id="get_fleet_bill",
    summary="The bill of a month",
    response_model=BillReply,
    responses=refusals(),
    **needs(api.READ),
)
async def get_bill(request: Request, ctx: CurrentCtx, month: Month) -> BillReply:
    """A line a kind and currency, and a total a currency. Amounts are exact; only `amount` is rounded, once."""
    return BillReply.of(await _bill(request, ctx, month))


@router.get(
    "/bill.csv",
    operation_id="get_fleet_bill_csv",
    summary="The bill of a month as CSV",
    response_class=Response,
    responses={**_file("text/csv", "The bill."), **refusals()},
    **needs(api.READ),
)
async def get_bill_csv(request: Request, ctx: CurrentCtx, month: Month, language: Language = "es") -> Response:
    """The same lines and totals; numbers have a decimal point in every language."""
    text = io.StringIO()
    csv.writer(text).writerows(bill_csv(await _bill(request, ctx, month), language))
    return _attached(text.getvalue().encode(), "text/csv; charset=utf-8", f"nervio-{month}.csv")


@router.get(
    "/bill.pdf",
    operation_id="get_fleet_bill_pdf",
    summary="The bill of a month as PDF",
    response_class=Response,
    responses={**_file("application/pdf", "The bill."), **refusals()},
    **needs(api.READ),
)
async def get_bill_pdf(request: Request, ctx: CurrentCtx, month: Month, language: Language = "es") -> Response:
    """The same to be read and sent."""
    return _attached(bill_pdf(await _bill(request, ctx, month), language), "application/pdf", f"nervio-{month}.pdf")


async def _bill(request: Request, ctx: CurrentCtx, month: str) -> Bill:
    settings = getattr(request.app.state, "settings", None)
    return await api.get_bill(ctx, month, 0 if settings is None else settings.fleet.bill_markup_basis_points)


def _attached(body: bytes, kind: str, name: str) -> Response:
    return Response(body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
