"""The ledger's manifest."""

from __future__ import annotations

from nervio.modules.ledger.api import read_seal_wait
from nervio.modules.ledger.routes import router, sealing_router
from nervio.ports.probes import About
from nervio.web.manifest import Manifest, Probe

SEAL_WAIT = Probe(
    "ledger.seal_wait",
    "seconds",
    About.TENANT,
    "How long the oldest commit that no block of the seal covers has been waiting.",
    seconds=10.0,
    read=read_seal_wait,
)

# Sealer and fold are not in it: they need the key and let go of their lease at the end, so the wiring keeps them.
MANIFEST = Manifest(
    name="ledger",
    routers=(router, sealing_router),
    probes=(SEAL_WAIT,),
    permissions={
        "ledger.read": frozenset({"admin", "negocio", "ml_service"}),
        "ledger.verify": frozenset({"admin"}),
    },
)
