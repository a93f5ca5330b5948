"""The stock module's figures."""

from __future__ import annotations

from prometheus_client import Counter

from nervio.kernel.quantity import UNIT

DOCUMENTS = Counter("nervio_stock_documents_total", "Stock documents asked for.", ("kind", "outcome"))
UNITS_REFUSED = Counter("nervio_stock_units_refused_total", "Units asked for that were not there.")


def count_shortages(shortages: object) -> None:
    """Counts what a refusal says was short (the data of insufficient_stock, in milli-units)."""
    if isinstance(shortages, list):
        UNITS_REFUSED.inc(sum(max(0, s["requested"] - max(0, s["available"])) for s in shortages) / UNIT)
