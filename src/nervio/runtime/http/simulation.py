"""`POST /test/simulate-sale`: one sale without a till, for people who develop against Nervio. Never in production."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from nervio.kernel.errors import Kind
from nervio.kernel.money import line_amount
from nervio.modules.catalog import api as catalog
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordSale, SaleLine
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import Code, PositiveQuantity, RequestBody

router = APIRouter(tags=["test"])


class SimulatedSale(RequestBody):
    """What to sell, paid in cash at the product's own price."""

    sku: Code = Field(description="SKU, barcode or id of the product.", examples=["A-1"])
    location: Code = Field("MAIN", description="Code or id of the location.")
    quantity_milli: PositiveQuantity = Field(1000, description="Thousandths of a unit.")


class SimulatedTicket(RequestBody):
    """The ticket that was recorded."""

    ticket_id: str
    number: str
    currency: str
    total_minor: int


@router.post(
    "/test/simulate-sale",
    summary="Sell one product without a till",
    responses=refusals(Kind.NOT_FOUND, Kind.CONFLICT),
)
async def simulate_sale(ctx: CurrentCtx, body: SimulatedSale, key: IdempotencyKey) -> SimulatedTicket:
    """Records a real ticket through the same path as a till: stock, money, journal and event in one commit."""
    product = await catalog.get_product(ctx, body.sku)
    total = line_amount(product.price_minor, body.quantity_milli)
    payments = (Payment(PaymentKind.CASH, total),) if total else ()
    line = SaleLine(product.id, body.quantity_milli, product.price_minor)
    sale = RecordSale(body.location, (line,), payments, currency=product.currency)
    ticket = await sales.record_sale(ctx, sale, key)
    return SimulatedTicket(
        ticket_id=ticket.ticket_id, number=ticket.number, currency=ticket.currency, total_minor=ticket.total
    )
