"""The ledger over HTTP: reading the journal. Nothing here writes; entries are made by the deeds of other modules."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind
from nervio.modules.ledger import api
from nervio.modules.ledger.contracts import Sealing
from nervio.modules.ledger.schemas import ENTRY_SHEET, BalanceOut, EntryOut, EntryQuery, SealOut, VerificationOut
from nervio.web.access import needs
from nervio.web.lists import CSV_RESPONSE, listed, page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx
from nervio.web.values import ID_PATTERN

router = APIRouter(prefix="/api/ledger", tags=["ledger"])
sealing_router = APIRouter(prefix="/api/ledger", tags=["ledger"])


@router.get(
    "/entries",
    operation_id="list_entries",
    summary="List journal entries",
    response_model=Page[EntryOut],
    responses={**CSV_RESPONSE, **refusals()},
    **needs("ledger.read"),
)
async def list_entries(
    request: Request, ctx: CurrentCtx, query: Annotated[EntryQuery, Query()]
) -> Page[EntryOut] | Response:
    """Entries of the journal with their postings, by when they were recorded. The filters narrow together.

    `format=csv` answers everything the filters leave, one row a posting.
    """

    async def read(cursor: str | None, limit: int) -> Page[EntryOut]:
        position = position_of(cursor, "id")
        found = await api.list_entries(
            ctx,
            kind=query.kind,
            document_id=query.document_id,
            reference=query.reference,
            account=query.account,
            asset=query.asset,
            after=None if position is None else position[0],
            limit=limit + 1,
            oldest_first=query.order == "oldest",
        )
        return page_of(found, limit, EntryOut.of, lambda entry: (entry.id,))

    return await listed(request, query, ENTRY_SHEET, read)


@router.get(
    "/entries/{entry_id}",
    operation_id="get_entry",
    summary="Get one journal entry",
    response_model=EntryOut,
    responses=refusals(Kind.NOT_FOUND),
    **needs("ledger.read"),
)
async def get_entry(
    ctx: CurrentCtx, entry_id: Annotated[str, Path(pattern=ID_PATTERN, description="The entry's id.")]
) -> EntryOut:
    """One entry with its postings."""
    return EntryOut.of(await api.get_entry(ctx, entry_id))


@router.get(
    "/balances",
    operation_id="list_balances",
    summary="List balances of money",
    response_model=Page[BalanceOut],
    responses=refusals(),
    **needs("ledger.read"),
)
async def list_balances(ctx: CurrentCtx) -> Page[BalanceOut]:
    """What each account holds of each currency, derived from the journal, in one page. Their sum is zero a currency."""
    return Page(items=[BalanceOut.of(balance) for balance in await api.list_balances(ctx)], next_cursor=None)


# -- the seal --------------------------------------------------------------------------------------------------------


@sealing_router.get(
    "/seal",
    operation_id="get_seal",
    summary="Get the newest signed head",
    response_model=SealOut,
    responses=refusals(),
)
async def get_seal(ctx: CurrentCtx) -> SealOut:
    """How far the journal is sealed. Keep the head somewhere else: whoever has it can prove that nothing before it was
    changed, or taken away, later."""
    return SealOut.of(await api.get_seal(ctx))


@sealing_router.post(
    "/verify",
    operation_id="verify_ledger",
    summary="Audit the journal",
    response_model=VerificationOut,
    responses=refusals(),
)
async def verify_ledger(request: Request, ctx: CurrentCtx) -> VerificationOut:
    """Recomputes everything from the rows and compares it with what was sealed and with the heads saved on the server.

    Changes nothing. It takes about half a minute a million entries and goes on beside sales.
    """
    sealing: Sealing | None = getattr(request.app.state, "sealing", None)
    if sealing is None:
        return VerificationOut.of(await api.audit(ctx))
    heads = api.read_heads(sealing.heads_path)
    return VerificationOut.of(await api.audit(ctx, heads, [sealing.signer.public_key]))
