"""The manifest of background jobs."""

from __future__ import annotations

from nervio.modules.jobs.api import MOVE, READ
from nervio.modules.jobs.routes import router
from nervio.modules.jobs.settings import JobsSettings
from nervio.web.manifest import Manifest

MANIFEST = Manifest(
    name="jobs",
    routers=(router,),
    settings=JobsSettings,
    permissions={
        READ: frozenset({"superadmin", "admin", "negocio"}),
        MOVE: frozenset({"admin", "negocio"}),
    },
)
