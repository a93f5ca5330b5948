"""Stock rules on plain values, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nervio.kernel.time import Instant
from nervio.modules.stock.contracts import HoldState

LevelKey = tuple[str, str, str]
"""(tenant_id, location_id, product_id)"""

HoldKey = tuple[str, str]
"""(tenant_id, hold_id)"""


@dataclass(slots=True)
class LevelState:
    """A level in memory while a batch decides. Milli-units."""

    on_hand: int
    reserved: int
    allow_negative: bool
    critical_level: int | None = None

    @property
    def available(self) -> int:
        """What may still be taken or promised."""
        return self.on_hand - self.reserved

    def can_give(self, quantity: int) -> bool:
        """Whether units not promised to anyone cover the quantity, or the location may go below zero."""
        return self.allow_negative or self.on_hand - self.reserved >= quantity


@dataclass(slots=True)
class LotState:
    """A lot in memory. `expires_on` is YYYY-MM-DD, so dates compare as text; None never expires."""

    lot: str
    expires_on: str | None
    on_hand: int

    def is_expired(self, today: str) -> bool:
        """A lot may be sold on the day it expires, not after."""
        return self.expires_on is not None and self.expires_on < today


@dataclass(slots=True)
class HoldRecord:
    """A hold in memory. `lines`: product id → milli-units."""

    location_id: str
    state: HoldState
    reference: str
    created_at: Instant
    expires_at: Instant
    lines: dict[str, int] = field(default_factory=dict)
    is_new: bool = False


def fit_to_sell(lots: Iterable[LotState], today: str) -> int:
    """Units in lots that have not expired."""
    return sum(lot.on_hand for lot in lots if not lot.is_expired(today))


def earlier(one: str | None, other: str | None) -> str | None:
    """The earlier of two expiry dates, of which None is the latest there is."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def first_expired_first_out(lots: Iterable[LotState], quantity: int, today: str) -> list[tuple[LotState, int]] | None:
    """Which lots to take `quantity` from: the first to expire first, undated ones last, expired ones never.

    None when the lots that may be sold do not cover it.
    """
    picked = []
    fit = (lot for lot in lots if lot.on_hand > 0 and not lot.is_expired(today))
    for lot in sorted(fit, key=lambda lot: (lot.expires_on is None, lot.expires_on or "", lot.lot)):
        share = min(quantity, lot.on_hand)
        picked.append((lot, share))
        quantity -= share
        if quantity == 0:
            return picked
    return None


def crossed_down(before: int, after: int, critical_level: int | None) -> bool:
    """Whether available stock fell from above its critical level to it or below."""
    return critical_level is not None and before > critical_level >= after


def holds_to_break(reserved: int, on_hand: int, newest_first: Iterable[tuple[str, int]]) -> list[str]:
    """Which holds to give up when a count finds fewer units than are promised: the newest, until the rest is covered.

    `newest_first`: (hold id, units it promises of this product).
    """
    broken = []
    for hold_id, quantity in newest_first:
        if reserved <= max(on_hand, 0):
            break
        broken.append(hold_id)
        reserved -= quantity
    return broken
