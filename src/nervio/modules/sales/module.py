"""The sales module's manifest."""

from __future__ import annotations

from nervio.modules.sales.routes.selling import SALE
from nervio.modules.sales.routes.tickets import router
from nervio.web.manifest import Manifest

MANIFEST = Manifest(
    name="sales",
    routers=(router,),
    hot_routes=(SALE,),
    permissions={
        "sales.read": frozenset({"admin", "negocio", "ml_service", "cashier"}),
        "sales.write": frozenset({"admin", "negocio", "cashier"}),
        "sales.return": frozenset({"admin", "negocio", "cashier"}),
        # Money out of the till without a ticket to check it against.
        "sales.return_blind": frozenset({"admin", "negocio"}),
        "sales.write_off": frozenset({"admin", "negocio"}),
    },
)
