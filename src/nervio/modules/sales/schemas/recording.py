"""Sales, returns and write-offs, as the routes take and answer them. Structs are the hot route's, models the others'."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import BaseModel, Field

from nervio.kernel.money import LARGEST as LARGEST_AMOUNT
from nervio.kernel.quantity import LARGEST as LARGEST_QUANTITY
from nervio.modules.sales.contracts import (
    Payment,
    PaymentKind,
    RecordReturn,
    RecordSale,
    SaleLine,
    TicketRecorded,
    WriteOff,
)
from nervio.web.bodies import instant_of
from nervio.web.values import (
    Amount,
    Code,
    Currency,
    LongText,
    Moment,
    Paid,
    PositiveQuantity,
    Price,
    RequestBody,
    ShortText,
)

REQUEST_NAMES = {
    "quantity": "quantity_milli",
    "unit_price": "unit_price_minor",
    "amount": "amount_minor",
    "requested": "requested_milli",
    "available": "available_milli",
    "expired": "expired_milli",
    "returnable": "returnable_milli",
    "given": "given_minor",
    "total": "total_minor",
}
"""Fields the use cases name otherwise than requests and answers do."""

CHOICES = {"kind": ", ".join(PaymentKind)}

# -- the hot route ---------------------------------------------------------------------------------------------------

_NO_NUL = {"pattern": "^[^\\x00]*$"}
_Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra_json_schema=_NO_NUL)]
_Quantity = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_QUANTITY, description="Milli-units; 1000 are one unit.")]
_Price = Annotated[
    int, msgspec.Meta(ge=0, le=LARGEST_AMOUNT, description="Minor units; the product's own when left out.")
]
_Paid = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_AMOUNT, description="Minor units.")]
_Number = Annotated[
    str,
    msgspec.Meta(
        max_length=64, description="The ticket's number; given by the program when empty.", extra_json_schema=_NO_NUL
    ),
]
_Customer = Annotated[str, msgspec.Meta(max_length=200, extra_json_schema=_NO_NUL)]
_Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$", description="ISO 4217; the products' own when left out.")]
_Time = Annotated[
    str, msgspec.Meta(max_length=40, description="When it counts from.", extra_json_schema={"format": "date-time"})
]


class SaleLineBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A line to sell. `sku` may be a SKU, a barcode or an id."""

    sku: _Code
    quantity_milli: _Quantity
    unit_price_minor: _Price | None = None


class PaymentBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A part of what is paid; `account` puts it on the customer's tab."""

    kind: PaymentKind
    amount_minor: _Paid


class SaleBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A ticket. All or nothing, unless `partial`: then what is short is left out and payments are cut to what was sold."""

    location: _Code
    lines: Annotated[list[SaleLineBody], msgspec.Meta(min_length=1, max_length=2000)]
    payments: Annotated[list[PaymentBody], msgspec.Meta(max_length=20)] = []
    number: _Number = ""
    currency: _Currency | None = None
    tax_included: bool = True
    partial: bool = False
    customer: _Customer = ""
    effective_at: _Time | None = None

    def to_sale(self) -> RecordSale:
        """The ticket as the use case takes it."""
        return RecordSale(
            self.location,
            tuple([SaleLine(line.sku, line.quantity_milli, line.unit_price_minor) for line in self.lines]),
            tuple([Payment(payment.kind, payment.amount_minor) for payment in self.payments]),
            self.number,
            self.currency,
            self.tax_included,
            self.partial,
            self.customer,
            instant_of(self.effective_at, "effective_at"),
        )


class PaymentStruct(msgspec.Struct, frozen=True, gc=False):
    """A part of what was paid."""

    kind: PaymentKind
    amount_minor: int


class RefusedLineStruct(msgspec.Struct, frozen=True, gc=False):
    """A line that a partial ticket left out; `n` is its place in the request, from 0."""

    n: int
    sku: str
    requested_milli: int
    available_milli: int


class SaleRecorded(msgspec.Struct, frozen=True):
    """A ticket that is in the journal. Amounts in minor units; net + tax = total."""

    id: str
    number: str
    location_id: str
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    payments: list[PaymentStruct]
    refused: list[RefusedLineStruct]


def sale_recorded(ticket: TicketRecorded) -> SaleRecorded:
    """The answer for a sale."""
    return SaleRecorded(
        ticket.ticket_id,
        ticket.number,
        ticket.location_id,
        ticket.currency,
        ticket.net,
        ticket.tax,
        ticket.total,
        [PaymentStruct(payment.kind, payment.amount) for payment in ticket.payments],
        [RefusedLineStruct(r.n, r.sku, r.requested, r.available) for r in ticket.refused],
    )


# -- returns and write-offs ------------------------------------------------------------------------------------------


class PaymentIn(RequestBody):
    """A part of what is paid back."""

    # JSON has no enumerations: the name is what is sent.
    kind: PaymentKind = Field(strict=False, examples=["cash"])
    amount_minor: Paid = Field(examples=[285000])


class ReturnLineBody(RequestBody):
    """A line to take back."""

    sku: Code = Field(description="SKU, barcode or id.", examples=["YER-500"])
    quantity_milli: PositiveQuantity = Field(examples=[1000])
    unit_price_minor: Price | None = Field(
        None, description="Only without `original`, whose price counts; the product's own when left out."
    )
    lot: str = Field(
        "",
        max_length=64,
        pattern=r"^[^\x00]*$",
        description="The lot the units go to, where lots are kept. Left out, they go back to the lots they were sold from, the "
        "last picked first; without a ticket they go to the lot `returned`.",
    )
    original_line: int | None = Field(
        None, ge=0, le=2000, description="The line of the original ticket (from 0) they came from, where it is known."
    )


class ReturnBody(RequestBody):
    """Goods taken back."""

    location: Code = Field(description="Code or id.", examples=["CENTRO"])
    lines: list[ReturnLineBody] = Field(min_length=1, max_length=2000)
    original: str = Field(
        "",
        max_length=64,
        pattern=r"^[^\x00]*$",
        description="Number or id of the ticket. Without it the permission sales.return_blind is needed.",
        examples=["A-0001"],
    )
    payments: list[PaymentIn] = Field(
        default_factory=list, max_length=20, description="How it is paid back; all in cash when left out."
    )
    number: str = Field("", max_length=64, pattern=r"^[^\x00]*$", description="Given by the program when empty.")
    currency: Currency | None = None
    tax_included: bool = True
    customer: ShortText = ""
    reason: LongText = Field("", examples=["Torn packet"])
    effective_at: Moment | None = Field(None, description="When it counts from; now when left out.")

    def to_return(self) -> RecordReturn:
        """The return as the use case takes it."""
        return RecordReturn(
            location=self.location,
            lines=tuple(
                SaleLine(line.sku, line.quantity_milli, line.unit_price_minor, line.lot, line.original_line)
                for line in self.lines
            ),
            original=self.original,
            payments=tuple(Payment(payment.kind, payment.amount_minor) for payment in self.payments),
            number=self.number,
            currency=self.currency,
            tax_included=self.tax_included,
            customer=self.customer,
            reason=self.reason,
            effective_at=instant_of(self.effective_at, "effective_at"),
        )


class PaymentOut(BaseModel):
    """A part of what was paid, or paid back."""

    kind: PaymentKind
    amount_minor: int = Field(examples=[285000])


class ReturnRecorded(BaseModel):
    """A return that is in the journal. Amounts in minor units, positive; net + tax = total."""

    id: str
    number: str = Field(examples=["T-0195F3A00000-7000-0001"])
    location_id: str
    currency: str = Field(examples=["ARS"])
    net_minor: int = Field(examples=[235537])
    tax_minor: int = Field(examples=[49463])
    total_minor: int = Field(examples=[285000])
    payments: list[PaymentOut]

    @classmethod
    def of(cls, ticket: TicketRecorded) -> ReturnRecorded:
        """The answer for a return."""
        return cls(
            id=ticket.ticket_id,
            number=ticket.number,
            location_id=ticket.location_id,
            currency=ticket.currency,
            net_minor=ticket.net,
            tax_minor=ticket.tax,
            total_minor=ticket.total,
            payments=[PaymentOut(kind=p.kind, amount_minor=p.amount) for p in ticket.payments],
        )


class WriteOffBody(RequestBody):
    """What a customer's account owes and will not pay."""

    amount_minor: Amount = Field(description="Minor units; negative takes a write-off back.", examples=[150000])
    currency: Currency = Field(examples=["ARS"])
    reference: ShortText = Field("", description="The customer, the ticket.", examples=["A-0001"])
    reason: LongText = Field(min_length=1, description="Goes into the journal.", examples=["Moved away"])
    effective_at: Moment | None = Field(None, description="When it counts from; now when left out.")

    def to_write_off(self) -> WriteOff:
        """The write-off as the use case takes it."""
        return WriteOff(
            self.amount_minor, self.currency, self.reference, self.reason, instant_of(self.effective_at, "effective_at")
        )


class WrittenOffOut(BaseModel):
    """A write-off that is in the journal."""

    document_id: str
