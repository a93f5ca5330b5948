"""Holds, as the routes take and answer them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from nervio.kernel.time import to_iso
from nervio.modules.stock.contracts import Hold, HoldSettled, HoldState, PlaceHold, StockLine
from nervio.web.lists import ListQuery
from nervio.web.values import Code, Moment, PositiveQuantity, RequestBody, ShortText


class HoldLineBody(RequestBody):
    """What to promise of one product."""

    sku: Code = Field(examples=["YER-500"])
    quantity_milli: PositiveQuantity = Field(examples=[2000])


class HoldBody(RequestBody):
    """A promise of units for a while."""

    location: Code = Field(description="Code or id.", examples=["CENTRO"])
    lines: list[HoldLineBody] = Field(min_length=1, max_length=500)
    seconds: int | None = Field(
        None,
        ge=1,
        le=30 * 86_400,
        description="How long it lasts; the setting stock.hold_ttl_seconds (15 minutes) when left out.",
        examples=[900],
    )
    reference: ShortText = Field("", examples=["WEB-1001"])

    def to_input(self) -> PlaceHold:
        """The hold as the use case takes it."""
        lines = tuple(StockLine(line.sku, line.quantity_milli) for line in self.lines)
        return PlaceHold(self.location, lines, self.seconds, self.reference)


class SettleBody(RequestBody):
    """What a settled hold is booked under."""

    reference: ShortText = Field(
        "", description="Goes into the journal; the hold's own when empty.", examples=["A-0001"]
    )


class HoldSettledOut(BaseModel):
    """A hold and the state it is in now."""

    id: str
    state: HoldState
    expires_at: Moment = Field(examples=["2026-03-01T12:15:00.000000Z"])

    @classmethod
    def of(cls, hold: HoldSettled) -> HoldSettledOut:
        """The answer for a hold that was placed or settled."""
        return cls(id=hold.hold_id, state=hold.state, expires_at=to_iso(hold.expires_at))


class HoldQuery(ListQuery):
    """What the list of holds is narrowed by."""

    state: HoldState | None = Field(None, description="Only holds in this state.")
    product: Code | None = Field(None, description="Only holds of this product: SKU, barcode or id.")


class HoldLineOut(BaseModel):
    """What a hold promises of one product."""

    product_id: str
    sku: str = Field(examples=["YER-500"])
    quantity_milli: int = Field(examples=[2000])


class HoldOut(BaseModel):
    """A promise of units."""

    id: str
    location_id: str
    state: HoldState
    reference: str = Field(examples=["WEB-1001"])
    created_at: Moment = Field(examples=["2026-03-01T12:00:00.000000Z"])
    expires_at: Moment = Field(examples=["2026-03-01T12:15:00.000000Z"])
    lines: list[HoldLineOut]

    @classmethod
    def of(cls, hold: Hold) -> HoldOut:
        """The answer for a hold."""
        return cls(
            id=hold.id,
            location_id=hold.location_id,
            state=hold.state,
            reference=hold.reference,
            created_at=to_iso(hold.created_at),
            expires_at=to_iso(hold.expires_at),
            lines=[
                HoldLineOut(product_id=line.product_id, sku=line.sku, quantity_milli=line.quantity)
                for line in hold.lines
            ],
        )
