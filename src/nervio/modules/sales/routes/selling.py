"""Selling over HTTP: the hot route of the till."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.sales import api
from nervio.modules.sales.metrics import LINES, SALES, count_refusal
from nervio.modules.sales.schemas.recording import CHOICES, REQUEST_NAMES, SaleBody, SaleRecorded, sale_recorded
from nervio.web.bodies import decode, in_terms_of
from nervio.web.manifest import HotRoute
from nervio.web.operations import operation, schema_of
from nervio.web.request import context_of, idempotency_key_of

_decoder = msgspec.json.Decoder(SaleBody)
_encode = msgspec.json.Encoder().encode


async def record_sale(request: Request) -> Response:
    """Records the ticket of the body; see `SALE` for what it takes and answers."""
    ctx = context_of(request)
    ctx.require("sales.write")
    key = idempotency_key_of(request)
    body = decode(_decoder, await request.body(), CHOICES)
    try:
        ticket = await api.record_sale(ctx, body.to_sale(), key)
    except NervioError as refusal:
        count_refusal(refusal.code, refusal.data.get("shortages"))
        raise in_terms_of(refusal, REQUEST_NAMES) from None
    SALES.inc()
    LINES.inc(len(body.lines) - len(ticket.refused))
    return Response(_encode(sale_recorded(ticket)), 201, media_type="application/json")


_EXAMPLES: dict[str, Any] = {
    "cash": {
        "location": "CENTRO",
        "lines": [{"sku": "YER-500", "quantity_milli": 2000}],
        "payments": [{"kind": "cash", "amount_minor": 570000}],
    },
    "by weight, two payments": {
        "location": "CENTRO",
        "lines": [{"sku": "QUESO-KG", "quantity_milli": 350, "unit_price_minor": 1200000}],
        "payments": [{"kind": "card", "amount_minor": 400000}, {"kind": "cash", "amount_minor": 20000}],
        "number": "A-0001",
        "effective_at": "2026-03-01T12:00:00Z",
    },
}

SALE = HotRoute(
    path="/api/sales",
    method="POST",
    endpoint=record_sale,
    openapi=operation(
        operation_id="record_sale",
        tag="sales",
        summary="Record a sale",
        description=(
            "Records one ticket: stock, money and journal in one commit. Lines of one product are summed before stock is "
            "checked. Payments add up to the total exactly; change is the till's business. When stock is short nothing is "
            "sold and the problem lists every shortage, unless `partial` is set: then what is short is left out, listed in "
            "`refused`, and payments are cut to what was sold. Quantities are milli-units, amounts minor units."
        ),
        permission="sales.write",
        body=schema_of(SaleBody),
        examples=_EXAMPLES,
        answers={201: ("The ticket is recorded.", schema_of(SaleRecorded))},
        refusals=(Kind.NOT_FOUND, Kind.CONFLICT),
    ),
)
