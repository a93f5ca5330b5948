"""Facts about sales."""

from __future__ import annotations

from dataclasses import dataclass

SALE_RECORDED = "sale_recorded.v1"
RETURN_RECORDED = "return_recorded.v1"


@dataclass(frozen=True, slots=True)
class TicketRecorded:
    """A ticket or a return. Money in minor units; `lines`: (product id, milli-units, total of the line)."""

    ticket_id: str
    number: str
    location_id: str
    currency: str
    total_minor: int
    tax_minor: int
    effective_at: int
    lines: list[tuple[str, int, int]]
