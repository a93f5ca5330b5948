"""Stock documents, levels, lots and holds as other modules see them. Quantities are milli-units, times microseconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from nervio.kernel.time import Instant


class StockLine(msgspec.Struct, frozen=True, gc=False):
    """A line of a stock document. `sku` may be a SKU, a barcode or a product id; `lot` is needed to receive products
    kept by lot and optional elsewhere, where the first lot to expire is taken."""

    sku: str
    quantity: int
    lot: str = ""
    expires_on: str | None = None


class StockDocument(msgspec.Struct, frozen=True):
    """Goods received, issued, adjusted, transferred or counted. `location` is a code or an id. `effective_at` is when
    it counts from (now when None); it never changes what is already written."""

    location: str
    lines: tuple[StockLine, ...]
    reference: str = ""
    reason: str = ""
    to_location: str | None = None
    effective_at: Instant | None = None


class LevelAfter(msgspec.Struct, frozen=True, gc=False):
    """A level as the document left it; `quantity` is what the document moved, signed."""

    product_id: str
    sku: str
    location_id: str
    quantity: int
    on_hand: int
    reserved: int


class StockRecorded(msgspec.Struct, frozen=True):
    """A stock document that is in the journal."""

    document_id: str
    reference: str
    levels: tuple[LevelAfter, ...]
    broken_holds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Promises units for a while: a basket, a web order, a telephone call. It expires by itself."""

    location: str
    lines: tuple[StockLine, ...]
    seconds: int | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class SettleHold:
    """Claims or releases a hold."""

    hold_id: str
    reference: str = ""


class HoldState(StrEnum):
    """A hold is settled exactly once. `broken`: a count found fewer units than were promised."""

    ACTIVE = "active"
    CLAIMED = "claimed"
    RELEASED = "released"
    EXPIRED = "expired"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class HoldSettled:
    """A hold and the state it is in after the command."""

    hold_id: str
    state: HoldState
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class LevelPolicy:
    """The critical level of a product at a location; None takes it away."""

    location: str
    sku: str
    critical_level: int | None


@dataclass(frozen=True, slots=True)
class Repair:
    """Books what the checker found: levels are brought back to the journal. `reason` goes into the journal."""

    reason: str


@dataclass(frozen=True, slots=True)
class Repaired:
    """How many levels were corrected."""

    corrected: int


@dataclass(frozen=True, slots=True)
class Level:
    """How much there is. `available` is on hand less reserved."""

    product_id: str
    sku: str
    name: str
    location_id: str
    location_code: str
    on_hand: int
    reserved: int
    available: int
    critical_level: int | None


@dataclass(frozen=True, slots=True)
class Lot:
    """Units of a product that came together and expire together (`YYYY-MM-DD`)."""

    product_id: str
    location_id: str
    lot: str
    expires_on: str | None
    on_hand: int


@dataclass(frozen=True, slots=True)
class HoldLine:
    """What a hold promises of one product."""

    product_id: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A promise of units."""

    id: str
    location_id: str
    state: HoldState
    reference: str
    created_at: Instant
    expires_at: Instant
    lines: tuple[HoldLine, ...]


@dataclass(frozen=True, slots=True)
class StockMovement:
    """One movement of a product at a location; `quantity` is signed."""

    entry_id: str
    n: int
    kind: str
    reference: str
    document_id: str
    actor_id: str
    effective_at: Instant
    recorded_at: Instant
    location_id: str
    counterpart: str
    lot: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """An invariant that does not hold: what the books say and what the journal says."""

    invariant: str
    location_id: str
    product_id: str
    recorded: int
    expected: int
    lot: str = ""


@dataclass(frozen=True, slots=True)
class InvariantReport:
    """The checker's result. `oversold` sums, over all levels that may not go negative, how far the journal ever did."""

    levels: int
    oversold: int
    discrepancies: tuple[Discrepancy, ...]


@dataclass(frozen=True, slots=True)
class Shortage:
    """What was asked for and what there was."""

    sku: str
    requested: int
    available: int
    expired: int = 0
