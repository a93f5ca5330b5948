"""Tickets, returns and write-offs over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.kernel.time import parse_iso
from nervio.modules.sales import api
from nervio.modules.sales.metrics import LINES, RETURNS, count_refusal
from nervio.modules.sales.schemas.recording import (
    REQUEST_NAMES,
    ReturnBody,
    ReturnRecorded,
    WriteOffBody,
    WrittenOffOut,
)
from nervio.modules.sales.schemas.tickets import TICKET_SHEET, SummaryOut, TicketOut, TicketQuery
from nervio.web.access import needs
from nervio.web.bodies import in_terms_of, instant_of
from nervio.web.lists import CSV_RESPONSE, listed, page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import NO_NUL, Moment

router = APIRouter(prefix="/api", tags=["sales"])

_WRITES = refusals(Kind.NOT_FOUND, Kind.CONFLICT, Kind.TOO_MANY)


@router.get(
    "/sales",
    operation_id="list_tickets",
    summary="List tickets and returns",
    response_model=Page[TicketOut],
    responses={**CSV_RESPONSE, **refusals()},
    **needs("sales.read"),
)
async def list_tickets(
    request: Request, ctx: CurrentCtx, query: Annotated[TicketQuery, Query()]
) -> Page[TicketOut] | Response:
    """Tickets and returns, the newest effective time first. The filters narrow together.

    `format=csv` answers everything the filters leave, one row a ticket, amounts as decimals.
    """
    since, until = instant_of(query.since, "since"), instant_of(query.until, "until")

    async def read(cursor: str | None, limit: int) -> Page[TicketOut]:
        position = position_of(cursor, "int", "id")
        found = await api.list_tickets(
            ctx,
            kind=query.kind,
            number=query.number,
            location_id=query.location_id,
            since=since,
            until=until,
            before=None if position is None else (position[0], position[1]),
            limit=limit + 1,
        )
        return page_of(found, limit, TicketOut.of, lambda ticket: (ticket.effective_at, ticket.id))

    return await listed(request, query, TICKET_SHEET, read)


@router.get(
    "/sales/summary",
    operation_id="summarize_sales",
    summary="Sum the sales of a span",
    response_model=SummaryOut,
    responses=refusals(),
    **needs("sales.read"),
)
async def summarize_sales(
    ctx: CurrentCtx,
    since: Annotated[
        Moment, Query(description="Tickets that count from this time on.", examples=["2026-03-01T00:00:00Z"])
    ],
    until: Annotated[Moment, Query(description="And from before this one.", examples=["2026-04-01T00:00:00Z"])],
) -> SummaryOut:
    """Tickets, returns and money of a span, per currency; returns are already taken off."""
    first, last = parse_iso(since, "since"), parse_iso(until, "until")
    if last < first:
        raise invalid("empty_span", "until must not lie before since.", field="until")
    return SummaryOut.of(first, last, await api.summarize(ctx, first, last))


@router.get(
    "/sales/{reference:path}",
    operation_id="get_ticket",
    summary="Get one ticket",
    response_model=TicketOut,
    responses=refusals(Kind.NOT_FOUND),
    **needs("sales.read"),
)
async def get_ticket(
    ctx: CurrentCtx,
    reference: Annotated[
        str, Path(min_length=1, max_length=64, pattern=NO_NUL, description="Number or id.", examples=["A-0001"])
    ],
) -> TicketOut:
    """A ticket or a return with its lines and payments."""
    return TicketOut.of(await api.get_ticket(ctx, reference))


@router.post(
    "/returns",
    operation_id="record_return",
    summary="Take goods back",
    status_code=201,
    response_model=ReturnRecorded,
    responses=_WRITES,
    **needs("sales.return"),
)
async def record_return(ctx: CurrentCtx, key: IdempotencyKey, body: ReturnBody) -> ReturnRecorded:
    """Takes goods back and pays back, in one commit.

    With `original` at the price of that ticket and never more than it sold; without it at the price given, which needs
    the permission sales.return_blind as well. Passes a stop of the level `reduce_only`.
    """
    try:
        ticket = await api.record_return(ctx, body.to_return(), key)
    except NervioError as refusal:
        count_refusal(refusal.code, None)
        raise in_terms_of(refusal, REQUEST_NAMES) from None
    RETURNS.inc()
    LINES.inc(len(body.lines))
    return ReturnRecorded.of(ticket)


@router.post(
    "/write-offs",
    operation_id="write_off",
    summary="Write off what will not be paid",
    status_code=201,
    response_model=WrittenOffOut,
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
    **needs("sales.write_off"),
)
async def write_off(ctx: CurrentCtx, key: IdempotencyKey, body: WriteOffBody) -> WrittenOffOut:
    """Moves an amount from the customers' accounts to bad debt; negative takes an earlier write-off back."""
    try:
        written = await api.write_off(ctx, body.to_write_off(), key)
    except NervioError as error:
        raise in_terms_of(error, REQUEST_NAMES) from None
    return WrittenOffOut(document_id=written.document_id)
