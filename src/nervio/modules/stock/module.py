"""The stock module's manifest."""

from __future__ import annotations

from nervio.modules.stock.api import sweep_holds
from nervio.modules.stock.routes import holds, levels
from nervio.modules.stock.routes.documents import MOVEMENTS
from nervio.modules.stock.settings import StockSettings
from nervio.web.manifest import Manifest, Periodic

MANIFEST = Manifest(
    name="stock",
    routers=(levels.router, holds.router),
    hot_routes=(MOVEMENTS,),
    periodics=(Periodic("stock.sweep_holds", role="scheduler", seconds=1.0, run=sweep_holds),),
    permissions={
        "stock.read": frozenset({"admin", "deposito", "negocio", "ml_service", "cashier"}),
        "stock.write": frozenset({"admin", "deposito"}),
        "stock.hold": frozenset({"admin", "deposito", "cashier"}),
        "stock.repair": frozenset({"admin", "deposito"}),
    },
    settings=StockSettings,
)
