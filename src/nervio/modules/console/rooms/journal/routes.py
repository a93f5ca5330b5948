"""The journal: where every figure of the console leads."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import to_datetime
from nervio.modules.catalog import api as catalog
from nervio.modules.console import lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect
from nervio.modules.console.rooms.journal.reading import (
    balance_groups,
    entry_row,
    goods_rows,
    is_balanced,
    kind_of,
    money_rows,
)
from nervio.modules.console.tables import Choice, Column, Filter, Table
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account, stock_account

JOURNAL = "/console/journal"
KINDS = ("sale", "return", "receipt", "issue", "transfer", "adjustment", "count", "write_off", "stock_repair",
         "halt_activated", "halt_cleared")  # fmt: skip
ACCOUNTS = frozenset(account.value for account in Account)

COLUMNS = (
    Column("position", "col.position", phone=False),
    Column("at", "col.at"),
    Column("kind", "col.kind", fixed=True),
    Column("reference", "col.reference", phone=False),
    Column("amount", "col.amount", numeric=True),
    Column("sealed", "col.sealed", phone=False),
)

router = page_router()


@router.get(JOURNAL)
async def show_entries(request: Request) -> Response:
    """Entries by when they were recorded. One field finds by reference, product or account."""
    frame = await open_frame(request, "ledger.read")
    search, kind = frame.query("q", 64), frame.query("kind", 40)
    account, sku, location = frame.query("account", 64), frame.query("sku", 64), frame.query("location", 40)
    reference, asset = None, None
    if sku:
        asset = (await catalog.get_product(frame.ctx, sku)).id
        account = stock_account(location) if is_id(location) else account
    elif search:
        account, asset, reference = await _meant(frame, search)
    wanted = {"kind": kind or None, "account": account or None, "asset": asset, "reference": reference}
    order = lists.OLDEST if frame.query("order") == lists.OLDEST else ""
    if lists.wants_csv(frame):
        return lists.to_csv("/api/ledger/entries", **wanted, order=order)
    cut = await lists.entries(frame, frame.ctx, order == lists.OLDEST, **wanted)
    seal, people = await ledger.get_seal(frame.ctx), await frame.people()
    sealed_to = 0 if seal.head is None else seal.head.to_position
    table = Table(
        path=JOURNAL,
        columns=COLUMNS,
        name="journal",
        search=search,
        chosen={"kind": kind, "account": frame.query("account", 64), "sku": sku, "location": location, "order": order},
        hidden=lists.hidden_of(frame, COLUMNS),
        filters=(
            Filter("kind", "journal.any_kind", tuple(Choice(each, frame.t(f"kind.{each}")) for each in KINDS)),
            Filter(
                "account", "journal.any_account", tuple(Choice(a.value, frame.t(f"account.{a.value}")) for a in Account)
            ),
            lists.order_filter(frame),
        ),
        views=await lists.views_of(frame, "journal"),
        shown=len(cut.rows),
        previous_cursor=cut.previous,
        next_cursor=cut.following,
    )
    head = None if seal.head is None else {
        "position": seal.head.to_position, "at": to_datetime(seal.head.sealed_at), "head": seal.head.hash
    }  # fmt: skip
    return frame.page(
        "journal",
        {"table": table, "rows": [entry_row(frame, entry, people, sealed_to) for entry in cut.rows], "seal": head},
    )


@router.get(f"{JOURNAL}/balances")
async def show_balances(request: Request) -> Response:
    """What each account holds."""
    frame = await open_frame(request, "ledger.read")
    balances = await ledger.list_balances(frame.ctx)
    context = {
        "groups": balance_groups(frame, balances),
        "as_of": to_datetime(frame.ctx.clock.now()),
        "balanced": is_balanced(balances),
    }
    return frame.page("journal_balances", context)


@router.get(JOURNAL + "/of/{document_id}")
async def go_to_entry(request: Request, document_id: str) -> Response:
    """From a ticket or another document to its entry."""
    frame = await open_frame(request, "ledger.read")
    found = await ledger.list_entries(frame.ctx, document_id=document_id, limit=1) if is_id(document_id) else []
    if not found:
        raise not_found("entry", document_id)
    return redirect(f"{JOURNAL}/{found[0].id}")


@router.get(JOURNAL + "/{entry_id}")
async def show_entry(request: Request, entry_id: str) -> Response:
    """One entry with its postings."""
    frame = await open_frame(request, "ledger.read")
    entry = await ledger.get_entry(frame.ctx, entry_id)
    seal, people = await ledger.get_seal(frame.ctx), await frame.people()
    older = await ledger.list_entries(frame.ctx, after=entry.id, limit=1)
    is_sealed = seal.head is not None and entry.position is not None and entry.position <= seal.head.to_position
    context = {
        "entry": {
            "id": entry.id,
            "position": entry.position,
            "kind": kind_of(frame, entry),
            "reference": entry.reference or entry.id[:8],
            "recorded_at": to_datetime(entry.recorded_at),
            "effective_at": to_datetime(entry.effective_at),
            "actor": name_of(people, entry.actor_id),
            "reason": str((entry.details or {}).get("reason", "")),
            "document_id": entry.document_id,
            "sealed": is_sealed,
        },
        "money": money_rows(frame, entry),
        "goods": await goods_rows(frame, entry),
        "previous_id": older[0].id if older else "",
    }
    return frame.page("journal_entry", context)


async def _meant(frame: Frame, search: str) -> tuple[str, str | None, str | None]:
    """(account, asset, reference) that a search means: the first that there is."""
    if search.lower() in ACCOUNTS:
        return search.lower(), None, None
    if await ledger.list_entries(frame.ctx, reference=search, limit=1):
        return "", None, search
    try:
        return "", (await catalog.get_product(frame.ctx, search)).id, None
    except NervioError:
        return "", None, search
