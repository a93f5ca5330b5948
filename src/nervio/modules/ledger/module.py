"""The ledger's manifest."""

from __future__ import annotations

from nervio.modules.ledger.routes import router, sealing_router
from nervio.web.manifest import Manifest

# Sealer and fold are not in it: they need the key and let go of their lease at the end, so the wiring keeps them.
MANIFEST = Manifest(
    name="ledger",
    routers=(router, sealing_router),
    permissions={
        "ledger.read": frozenset({"admin", "negocio", "ml_service"}),
        "ledger.verify": frozenset({"admin"}),
    },
)
