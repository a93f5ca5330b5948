"""A plausible page of events."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from nervio.modules.console.i18n import Texts


def safety_events(t: Texts, now: datetime) -> dict[str, Any]:
    """Eight facts, two handlers and two letters."""
    facts = (
        ("sale_recorded", '{"ticket_id": "0195a8c2", "total_minor": 345000}'),
        ("stock_moved", '{"sku": "A-1042"}'),
    )
    return {
        "kind": "",
        "kinds": [(f"{stem}.v1", t(f"events.type.{stem}")) for stem, _ in facts],
        "events": [
            {
                "at": now - timedelta(seconds=7 * n),
                "kind": t(f"events.type.{facts[n % 2][0]}"),
                "type": f"{facts[n % 2][0]}.v1",
                "position": 18_204 - n,
                "payload": facts[n % 2][1],
            }
            for n in range(8)
        ],
        "position": 18_204,
        "relay_lag": 12,
        "handlers": [
            {"name": "safety.look_sooner", "lag": 0, "dead": 0},
            {"name": "search.reindex_products", "lag": 340, "dead": 2},
        ],
        "letters": [
            {
                "id": f"0195a8c2-7f1e-7c3a-9d52-4f0e6b1a2c3{n}",
                "kind": t("events.type.stock_moved"),
                "handler": "search.reindex_products",
                "reason": "ValueError: the product has no name in any language that the index was made for",
                "attempts": 5,
                "last_at": now - timedelta(hours=n),
                "asked_by": "Marina Duarte" if n else None,
            }
            for n in range(2)
        ],
        "error": "",
    }
