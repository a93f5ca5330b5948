"""Levels, movements, lots and their upkeep, as the routes take and answer them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from nervio.kernel.quantity import format_quantity
from nervio.kernel.time import to_iso
from nervio.modules.stock.contracts import InvariantReport, Level, LevelPolicy, Lot, StockMovement
from nervio.web.lists import ExportQuery, Figure, Sheet
from nervio.web.values import Code, Day, IdText, LongText, Moment, RequestBody, ShortText


class LevelQuery(ExportQuery):
    """What the list of levels is narrowed by."""

    search: ShortText = Field("", description="Words that the product's name, SKU, barcode or category must hold.")
    location_id: IdText | None = Field(None, description="Only this location.")
    critical: bool = Field(False, description="Only levels at or below their critical level, the scarcest first.")
    sort: Literal["name", "-name"] = Field(
        "name", description="By product name and location, or turned round; `critical=true` has an order of its own."
    )


class LevelOut(BaseModel):
    """How much there is of a product at a location. Milli-units: 1000 are one unit."""

    product_id: str
    sku: str = Field(examples=["YER-500"])
    name: str = Field(examples=["Yerba mate 500 g"])
    location_id: str
    location_code: str = Field(examples=["CENTRO"])
    on_hand_milli: int = Field(examples=[12000])
    reserved_milli: int = Field(description="Promised by holds.", examples=[2000])
    available_milli: int = Field(description="On hand less reserved.", examples=[10000])
    critical_level_milli: int | None = Field(description="Available stock at or below it is critical.", examples=[5000])

    @classmethod
    def of(cls, level: Level) -> LevelOut:
        """The answer for a level."""
        return cls(
            product_id=level.product_id,
            sku=level.sku,
            name=level.name,
            location_id=level.location_id,
            location_code=level.location_code,
            on_hand_milli=level.on_hand,
            reserved_milli=level.reserved,
            available_milli=level.available,
            critical_level_milli=level.critical_level,
        )


class MovementQuery(ExportQuery):
    """Whose movements."""

    product: Code = Field(description="SKU, barcode or id of the product.", examples=["YER-500"])
    location_id: IdText | None = Field(None, description="Only movements into or out of this location.")


class MovementOut(BaseModel):
    """One movement of a product at a location. A transfer is two: one out, one in."""

    entry_id: str = Field(description="The journal entry it is part of.")
    n: int = Field(description="Place of the posting within the entry.", examples=[0])
    kind: str = Field(examples=["receipt"])
    reference: str = Field(examples=["R-0001"])
    document_id: str
    actor_id: str
    effective_at: Moment = Field(examples=["2026-03-01T12:00:00.000000Z"])
    recorded_at: Moment = Field(examples=["2026-03-01T12:00:00.000000Z"])
    location_id: str
    counterpart: str = Field(
        description="The account on the other side, such as supplied or sold.", examples=["supplied"]
    )
    lot: str = Field(examples=[""])
    quantity_milli: int = Field(description="Signed: what came in is positive.", examples=[12000])

    @classmethod
    def of(cls, movement: StockMovement) -> MovementOut:
        """The answer for a movement."""
        return cls(
            entry_id=movement.entry_id,
            n=movement.n,
            kind=movement.kind,
            reference=movement.reference,
            document_id=movement.document_id,
            actor_id=movement.actor_id,
            effective_at=to_iso(movement.effective_at),
            recorded_at=to_iso(movement.recorded_at),
            location_id=movement.location_id,
            counterpart=movement.counterpart,
            lot=movement.lot,
            quantity_milli=movement.quantity,
        )


class LotOut(BaseModel):
    """Units of a product that came together and expire together."""

    product_id: str
    location_id: str
    lot: str = Field(examples=["L-2026-03"])
    expires_on: Day | None = Field(examples=["2026-09-30"])
    on_hand_milli: int = Field(examples=[12000])

    @classmethod
    def of(cls, lot: Lot) -> LotOut:
        """The answer for a lot."""
        return cls(
            product_id=lot.product_id,
            location_id=lot.location_id,
            lot=lot.lot,
            expires_on=lot.expires_on,
            on_hand_milli=lot.on_hand,
        )


class CriticalLevelBody(RequestBody):
    """The critical level of a product at a location."""

    location: Code = Field(description="Code or id.", examples=["CENTRO"])
    sku: Code = Field(description="SKU, barcode or id.", examples=["YER-500"])
    critical_level_milli: int | None = Field(
        ge=0, le=10**12, description="Milli-units; null takes it away.", examples=[5000]
    )

    def to_input(self) -> LevelPolicy:
        """The policy as the use case takes it."""
        return LevelPolicy(self.location, self.sku, self.critical_level_milli)


class CriticalLevelOut(BaseModel):
    """The level the policy is about."""

    product_id: str
    sku: str = Field(examples=["YER-500"])
    location_id: str
    on_hand_milli: int = Field(examples=[12000])
    reserved_milli: int = Field(examples=[0])
    critical_level_milli: int | None = Field(examples=[5000])


class DiscrepancyOut(BaseModel):
    """An invariant that does not hold."""

    invariant: str = Field(examples=["level_equals_journal"])
    location_id: str
    product_id: str
    recorded_milli: int = Field(description="What the books say.")
    expected_milli: int = Field(description="What the journal says.")


class InvariantReportOut(BaseModel):
    """The checker's result."""

    sound: bool = Field(description="Nothing oversold and no discrepancy.")
    levels: int = Field(description="Levels checked.", examples=[1200])
    oversold_milli: int = Field(description="How far levels that may not go negative ever did.", examples=[0])
    discrepancies: list[DiscrepancyOut]

    @classmethod
    def of(cls, report: InvariantReport) -> InvariantReportOut:
        """The answer for a report."""
        return cls(
            sound=report.oversold == 0 and not report.discrepancies,
            levels=report.levels,
            oversold_milli=report.oversold,
            discrepancies=[
                DiscrepancyOut(
                    invariant=d.invariant,
                    location_id=d.location_id,
                    product_id=d.product_id,
                    recorded_milli=d.recorded,
                    expected_milli=d.expected,
                )
                for d in report.discrepancies
            ],
        )


class RepairBody(RequestBody):
    """Why the books are brought back to the journal."""

    reason: LongText = Field(
        min_length=1, description="Goes into the journal.", examples=["Disk replaced after a fault"]
    )


class RepairedOut(BaseModel):
    """What a repair did."""

    corrected: int = Field(description="Levels corrected; 0 when the books were sound.", examples=[0])


LEVEL_SHEET: Sheet[LevelOut] = Sheet(
    "levels",
    ("sku", "name", "location", "on_hand", "reserved", "available", "critical_level", "product_id", "location_id"),
    lambda level: [
        (
            level.sku,
            level.name,
            level.location_code,
            Figure(format_quantity(level.on_hand_milli)),
            Figure(format_quantity(level.reserved_milli)),
            Figure(format_quantity(level.available_milli)),
            None if level.critical_level_milli is None else Figure(format_quantity(level.critical_level_milli)),
            level.product_id,
            level.location_id,
        )
    ],
)
MOVEMENT_SHEET: Sheet[MovementOut] = Sheet(
    "movements",
    (
        "recorded_at",
        "effective_at",
        "kind",
        "reference",
        "quantity",
        "lot",
        "location_id",
        "counterpart",
        "actor_id",
        "document_id",
        "entry_id",
        "n",
    ),
    lambda m: [
        (
            m.recorded_at,
            m.effective_at,
            m.kind,
            m.reference,
            Figure(format_quantity(m.quantity_milli)),
            m.lot,
            m.location_id,
            m.counterpart,
            m.actor_id,
            m.document_id,
            m.entry_id,
            m.n,
        )
    ],
)
