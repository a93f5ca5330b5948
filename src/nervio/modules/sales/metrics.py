"""The sales module's figures."""

from __future__ import annotations

from prometheus_client import Counter

from nervio.kernel.quantity import UNIT

_TICKETS = Counter("nervio_tickets_total", "Tickets and returns recorded.", ("kind",))
SALES = _TICKETS.labels("sale")
RETURNS = _TICKETS.labels("return")
LINES = Counter("nervio_ticket_lines_total", "Lines of the tickets recorded.")
REFUSED = Counter("nervio_tickets_refused_total", "Tickets and returns refused.", ("code",))
UNITS_REFUSED = Counter("nervio_ticket_units_refused_total", "Units that could not be sold for want of stock.")


def count_refusal(code: str, shortages: object) -> None:
    """Counts a refused ticket and the units it was short of (the data of insufficient_stock, in milli-units)."""
    REFUSED.labels(code).inc()
    if isinstance(shortages, list):
        UNITS_REFUSED.inc(sum(max(0, s["requested"] - max(0, s["available"])) for s in shortages) / UNIT)
