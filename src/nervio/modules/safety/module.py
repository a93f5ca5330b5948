"""What the safety module brings to the program."""

from __future__ import annotations

from nervio.modules.safety import api
from nervio.modules.safety.routes import router
from nervio.web.manifest import Manifest

ON_DUTY = frozenset({"superadmin", "admin", "deposito", "negocio", "cashier"})
"""Everyone but the machines: who sees that something is wrong must not have to look for somebody who may stop it."""

MANIFEST = Manifest(
    name="safety",
    routers=(router,),
    permissions={
        api.STOP: ON_DUTY,
        api.READ: ON_DUTY,
        api.RESUME: frozenset({"superadmin", "admin"}),
        api.STOP_INSTALLATION: frozenset({"superadmin"}),
        api.RESUME_INSTALLATION: frozenset({"superadmin"}),
    },
)
