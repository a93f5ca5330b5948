"""Tickets and their sums, as the routes list them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from nervio.kernel.money import format_amount
from nervio.kernel.time import to_iso
from nervio.modules.sales.contracts import SalesSummary, Ticket, TicketLine
from nervio.modules.sales.schemas.recording import PaymentOut
from nervio.web.lists import ExportQuery, Figure, Sheet
from nervio.web.values import Code, IdText, Moment


class TicketQuery(ExportQuery):
    """What the list of tickets is narrowed by."""

    kind: Literal["sale", "return"] | None = Field(None, description="Only sales, or only returns.")
    number: Code | None = Field(None, description="The ticket of this number, exactly.")
    location_id: IdText | None = Field(None, description="Only this location.")
    since: Moment | None = Field(
        None, description="Only tickets that count from this time or later.", examples=["2026-03-01T00:00:00Z"]
    )
    until: Moment | None = Field(
        None, description="Only tickets that count from before this time.", examples=["2026-04-01T00:00:00Z"]
    )


class TicketLineOut(BaseModel):
    """A line as it was sold or taken back."""

    n: int = Field(description="Place on the ticket, from 0.")
    product_id: str
    sku: str = Field(examples=["YER-500"])
    name: str = Field(examples=["Yerba mate 500 g"])
    quantity_milli: int = Field(examples=[1000])
    unit_price_minor: int = Field(description="The price at the time.", examples=[285000])
    tax_rate_bp: int = Field(examples=[2100])
    tax_minor: int = Field(examples=[49463])
    total_minor: int = Field(description="With tax.", examples=[285000])

    @classmethod
    def of(cls, line: TicketLine) -> TicketLineOut:
        """The answer for a line."""
        return cls(
            n=line.n,
            product_id=line.product_id,
            sku=line.sku,
            name=line.name,
            quantity_milli=line.quantity,
            unit_price_minor=line.unit_price,
            tax_rate_bp=line.tax_rate_bp,
            tax_minor=line.tax,
            total_minor=line.total,
        )


class TicketOut(BaseModel):
    """A ticket or a return, whole. A return's amounts are positive too; `kind` says which way they went."""

    id: str
    number: str = Field(examples=["A-0001"])
    kind: Literal["sale", "return"]
    original_id: str | None = Field(description="The ticket a return takes back.")
    location_id: str
    actor_id: str
    customer: str
    currency: str = Field(examples=["ARS"])
    tax_included: bool = Field(description="Whether unit prices contain the tax.")
    net_minor: int = Field(examples=[235537])
    tax_minor: int = Field(examples=[49463])
    total_minor: int = Field(examples=[285000])
    effective_at: Moment = Field(examples=["2026-03-01T12:00:00.000000Z"])
    recorded_at: Moment = Field(examples=["2026-03-01T12:00:00.000000Z"])
    lines: list[TicketLineOut]
    payments: list[PaymentOut]

    @classmethod
    def of(cls, ticket: Ticket) -> TicketOut:
        """The answer for a ticket."""
        return cls(
            id=ticket.id,
            number=ticket.number,
            kind="return" if ticket.kind == "return" else "sale",
            original_id=ticket.original_id,
            location_id=ticket.location_id,
            actor_id=ticket.actor_id,
            customer=ticket.customer,
            currency=ticket.currency,
            tax_included=ticket.tax_included,
            net_minor=ticket.net,
            tax_minor=ticket.tax,
            total_minor=ticket.total,
            effective_at=to_iso(ticket.effective_at),
            recorded_at=to_iso(ticket.recorded_at),
            lines=[TicketLineOut.of(line) for line in ticket.lines],
            payments=[PaymentOut(kind=p.kind, amount_minor=p.amount) for p in ticket.payments],
        )


class CurrencySummary(BaseModel):
    """Sales of a span in one currency."""

    currency: str = Field(examples=["ARS"])
    tickets: int = Field(examples=[42])
    returns: int = Field(examples=[1])
    total_minor: int = Field(description="Sold less returned, with tax.", examples=[11970000])
    tax_minor: int = Field(description="The tax in it.", examples=[2077438])


class SummaryOut(BaseModel):
    """Sales of a span of time, per currency; currencies without a ticket are left out."""

    since: Moment = Field(examples=["2026-03-01T00:00:00.000000Z"])
    until: Moment = Field(examples=["2026-04-01T00:00:00.000000Z"])
    currencies: list[CurrencySummary]

    @classmethod
    def of(cls, since: int, until: int, found: list[SalesSummary]) -> SummaryOut:
        """The answer for a span."""
        return cls(
            since=to_iso(since),
            until=to_iso(until),
            currencies=[
                CurrencySummary(
                    currency=s.currency, tickets=s.tickets, returns=s.returns, total_minor=s.total, tax_minor=s.tax
                )
                for s in found
            ],
        )


TICKET_SHEET: Sheet[TicketOut] = Sheet(
    "tickets",
    (
        "number",
        "kind",
        "effective_at",
        "recorded_at",
        "location_id",
        "customer",
        "currency",
        "net",
        "tax",
        "total",
        "payments",
        "lines",
        "actor_id",
        "id",
        "original_id",
    ),
    lambda ticket: [
        (
            ticket.number,
            ticket.kind,
            ticket.effective_at,
            ticket.recorded_at,
            ticket.location_id,
            ticket.customer,
            ticket.currency,
            Figure(format_amount(ticket.net_minor, ticket.currency)),
            Figure(format_amount(ticket.tax_minor, ticket.currency)),
            Figure(format_amount(ticket.total_minor, ticket.currency)),
            " ".join(f"{p.kind}:{format_amount(p.amount_minor, ticket.currency)}" for p in ticket.payments),
            len(ticket.lines),
            ticket.actor_id,
            ticket.id,
            ticket.original_id,
        )
    ],
)
"""A row a ticket."""
