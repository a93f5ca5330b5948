"""Goods receipts: what came in, and recording it by scan."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import to_datetime
from nervio.modules.catalog import api as catalog
from nervio.modules.console import lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect, text_of
from nervio.modules.console.tables import Column, Table
from nervio.modules.console.typed import read_quantity
from nervio.modules.ledger.contracts import STOCK_PREFIX, JournalEntry
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine

RECEIPTS = "/console/receipts"
KIND = "receipt"
MOST_LINES = 500

COLUMNS = (
    Column("number", "col.number", fixed=True),
    Column("supplier", "col.supplier", phone=False),
    Column("location", "col.location", phone=False),
    Column("lines", "col.lines", numeric=True),
    Column("at", "col.at"),
)

router = page_router()


@dataclass
class Line:
    """A line as it was typed, and what is wrong with it."""

    sku: str
    name: str
    quantity: str
    lot: str
    expires: str
    errors: dict[str, str] = field(default_factory=dict)


@router.get(RECEIPTS)
async def show_receipts(request: Request) -> Response:
    """Receipts by when they were booked; a search finds one by the number on its paper."""
    frame = await open_frame(request, "stock.write")
    number = frame.query("q", 64) or None
    order = lists.OLDEST if frame.query("order") == lists.OLDEST else ""
    if lists.wants_csv(frame):
        return lists.to_csv("/api/ledger/entries", kind=KIND, reference=number, order=order)
    # Who books receipts may read them, which stand in the journal only; of other entries nothing is shown here.
    ctx = replace(frame.ctx, permissions=(frame.ctx.permissions or frozenset()) | {"ledger.read"})
    cut = await lists.entries(frame, ctx, order == lists.OLDEST, kind=KIND, reference=number)
    people = await frame.people()
    table = Table(
        path=RECEIPTS,
        columns=COLUMNS,
        name="receipts",
        search=number or "",
        chosen={"order": order},
        hidden=lists.hidden_of(frame, COLUMNS),
        filters=(lists.order_filter(frame),),
        views=await lists.views_of(frame, "receipts"),
        shown=len(cut.rows),
        previous_cursor=cut.previous,
        next_cursor=cut.following,
    )
    return frame.page("receipts", {"table": table, "rows": [_row(frame, entry, people) for entry in cut.rows]})


@router.get(f"{RECEIPTS}/new")
async def show_new(request: Request) -> Response:
    """An empty receipt."""
    frame = await open_frame(request, "stock.write")
    return _form_page(frame, "", "", [], "", new_id())


@router.post(RECEIPTS)
async def record_receipt(request: Request) -> Response:
    """Books the receipt, whole or not at all; the form's key makes a second press of the button harmless."""
    frame = await open_frame(request, "stock.write")
    form = await frame.form()
    supplier, document, key = text_of(form, "supplier", 200), text_of(form, "document", 64), text_of(form, "key", 64)
    lines = await _typed(frame, form)
    stocked = [_checked(frame, line) for line in lines]
    error = "" if lines else frame.t("receipts.empty")
    if lines and None not in stocked:
        given = StockDocument(
            text_of(form, "location_id", 64),
            tuple(line for line in stocked if line is not None),
            reference=document,
            reason=supplier,
        )
        try:
            await stock.record_document(frame.ctx, KIND, given, key or None)
        except NervioError as refusal:
            error = _place(frame, refusal, lines)
        else:
            return redirect(RECEIPTS)
    # What was refused under a key is refused under it for ever; the mended form is another request.
    return _form_page(frame, supplier, document, lines, error, new_id(), 422)


def _place(frame: Frame, refusal: NervioError, lines: list[Line]) -> str:
    """Puts a refusal beside the line it speaks of; what concerns the whole is returned."""
    at = re.match(r"lines\[(\d+)\]\.?(\w*)", str(refusal.data.get("field", "")))
    if at is None or int(at[1]) >= len(lines):
        return frame.explain(refusal)
    lines[int(at[1])].errors[at[2] or "sku"] = frame.explain(refusal)
    return ""


def _checked(frame: Frame, line: Line) -> StockLine | None:
    quantity = read_quantity(line.quantity, frame.formats)
    if quantity is None or quantity <= 0:
        line.errors["quantity"] = frame.t("js.count_bad")
        return None
    return StockLine(line.sku, quantity, line.lot, line.expires or None)


async def _typed(frame: Frame, form: FormData) -> list[Line]:
    columns = [
        [str(value).strip()[:64] for value in form.getlist(name)][:MOST_LINES]
        for name in ("sku", "quantity", "lot", "expires")
    ]
    lines = [
        Line(sku, sku, quantity, lot, expires) for sku, quantity, lot, expires in zip(*columns, strict=False) if sku
    ]
    for line in lines:
        try:
            product = await catalog.get_product(frame.ctx, line.sku)
        except NervioError as refusal:
            line.errors["sku"] = frame.explain(refusal)
        else:
            line.sku, line.name = product.sku, product.name
    return lines


def _form_page(
    frame: Frame, supplier: str, document: str, lines: list[Line], error: str, key: str, status: int = 200
) -> Response:
    context = {
        "locations": frame.places,
        "supplier": supplier,
        "document": document,
        "lines": lines,
        "error": error,
        "key": key,
    }
    return frame.page("receipt_new", context, status)


def _row(frame: Frame, entry: JournalEntry, people: dict[str, str]) -> dict[str, Any]:
    place = next((posting.debit for posting in entry.postings if posting.debit.startswith(STOCK_PREFIX)), "")
    return {
        "entry_id": entry.id,
        "number": entry.reference or entry.id[:8],
        "supplier": (entry.details or {}).get("reason", ""),
        "location": frame.place_name(place.removeprefix(STOCK_PREFIX)),
        "lines": len(entry.postings),
        "at": to_datetime(entry.effective_at),
        "actor": name_of(people, entry.actor_id),
    }
