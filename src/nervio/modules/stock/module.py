"""The stock module's manifest."""

from __future__ import annotations

from nervio.events.stock import STOCK_BECAME_CRITICAL
from nervio.modules.stock.api import sweep_holds
from nervio.modules.stock.routes import holds, levels
from nervio.modules.stock.routes.documents import MOVEMENTS
from nervio.modules.stock.settings import StockSettings
from nervio.modules.stock.usecases.probing import FINDINGS_SECONDS, InvariantWalk, read_ads_without_stock, read_critical
from nervio.ports.probes import About
from nervio.web.manifest import Manifest, Periodic, Probe

PROBES = (
    Probe(
        "stock.critical",
        "percent",
        About.LEVEL,
        "What is available of a product at a location, in percent of the critical level set there.",
        seconds=3.0,
        read=read_critical,
        hears=(STOCK_BECAME_CRITICAL,),
    ),
    Probe(
        "ads.spend_without_stock",
        "minor",
        About.PRODUCT,
        "What the running campaigns of a product that is sold out in all locations may spend a day, each currency by itself.",
        seconds=10.0,
        read=read_ads_without_stock,
        hears=(STOCK_BECAME_CRITICAL,),
    ),
    Probe(
        "stock.findings",
        "count",
        About.TENANT,
        "Products of which a level does not agree with the journal or with what is promised. Looks at 200 products a time.",
        seconds=FINDINGS_SECONDS,
        read=InvariantWalk().read,
    ),
)

MANIFEST = Manifest(
    name="stock",
    routers=(levels.router, holds.router),
    hot_routes=(MOVEMENTS,),
    periodics=(Periodic("stock.sweep_holds", role="scheduler", seconds=1.0, run=sweep_holds),),
    probes=PROBES,
    permissions={
        "stock.read": frozenset({"admin", "deposito", "negocio", "ml_service", "cashier"}),
        "stock.write": frozenset({"admin", "deposito"}),
        "stock.hold": frozenset({"admin", "deposito", "cashier"}),
        "stock.repair": frozenset({"admin", "deposito"}),
    },
    settings=StockSettings,
)
