"""One plausible context for the pages of the nervous system that show orders and alerts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from nervio.modules.console.i18n import Texts
from nervio.modules.safety.contracts.actions import CONNECTION_FIELDS, Connection, Platform
from nervio.modules.safety.contracts.alerts import DESTINATION_FIELDS, Destination, DestinationKind, Severity

NOW = datetime(2026, 3, 12, 20, 41, tzinfo=UTC)


def actions(t: Texts) -> dict[str, Any]:
    """Two pauses that nobody knows to be done, one that is, and everything that can be set up."""
    names = ("Gaseosas verano", "Yerba de la semana", "Alfajores 3 × 2")

    def order(n: int, state: str, seconds: float | None = None) -> dict[str, Any]:
        return {
            "id": f"o{n}", "campaign": names[n], "campaign_id": f"c{n}", "platform": ("google_ads", "meta_ads", "webhook")[n],
            "kind": "pause", "state": state, "reason": "Sin stock en el salón", "by": "Marina Duarte",
            "at": NOW - timedelta(minutes=7 * n + 3), "words": "HTTP 503: Service Unavailable", "sends": 4 - n,
            "spend": "$ 1.250,00", "per_hour": "$ 4.166,67", "seconds": seconds,
        }  # fmt: skip

    campaigns = [
        {"id": f"c{n}", "name": name, "external_id": f"2385{n}", "connection": "Agencia", "connection_id": "k0",
         "platform": "webhook", "budget": "$ 100.000,00", "budget_plain": "100000,00",
         "status": ("unknown", "running", "paused")[n], "products": "A-1040, A-1041", "active": n < 2}
        for n, name in enumerate(names)
    ]  # fmt: skip
    alert = {
        "id": "a1", "severity": "critical", "title": "Sin confirmar: pausar «Gaseosas verano»",
        "body": "La plataforma no confirmó. Gasto estimado: 4166.67 ARS por hora.", "link": "/console/safety/actions",
        "count": 3, "at": NOW, "seen_by": "", "sent": 2, "waiting": 0, "failed": 1,
    }  # fmt: skip
    breakers = ("closed", "open")
    return {
        "unconfirmed": [order(0, "escalated"), order(1, "sent")],
        "at_risk": "$ 2.500,00",
        "per_hour": "$ 8.333,34",
        "in_flight": [order(2, "intent")],
        "history": [order(2, "confirmed", 1.4)],
        "connections": [
            Connection(
                f"k{n}",
                f"Agencia {n}",
                Platform.WEBHOOK,
                {"url": "https://ads.example"},
                ("signing_secret",),
                True,
                0,
                one,
            )
            for n, one in enumerate(breakers)
        ],
        "campaigns": campaigns,
        "platforms": [(platform.value, CONNECTION_FIELDS[platform]) for platform in Platform],
        "alerts": [
            alert,
            {**alert, "id": "a2", "severity": "info", "title": t("shell.close"), "count": 1, "seen_by": "Rocío"},
        ],
        "destinations": [
            Destination(
                "d1", "Canal", DestinationKind.SLACK, {}, ("url",), Severity.WARNING, True, "failed", "HTTP 404", 0
            )
        ],
        "kinds": [(kind.value, DESTINATION_FIELDS[kind]) for kind in DestinationKind],
        "severities": [severity.value for severity in Severity],
        "may": dict.fromkeys(("pause", "resume", "manage", "acknowledge", "alerts"), True),
        "checked": {"status": "paused", "words": "campaign.status PAUSED"},
        "open": "",
        "editing": "k0",
        "errors": {},
    }
