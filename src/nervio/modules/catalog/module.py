"""The catalog's manifest."""

from __future__ import annotations

from nervio.modules.catalog.routes import router
from nervio.web.manifest import Manifest

MANIFEST = Manifest(
    name="catalog",
    routers=(router,),
    permissions={
        "catalog.read": frozenset({"admin", "deposito", "negocio", "ml_service", "cashier"}),
        "catalog.write": frozenset({"admin", "negocio"}),
    },
)
