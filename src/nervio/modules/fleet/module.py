"""The fleet's manifest."""

from __future__ import annotations

from nervio.modules.fleet.api import LIMIT, READ, SUBMIT_TASKS
from nervio.modules.fleet.routes import figures, limits, live, stream, tasks
from nervio.modules.fleet.routes.line import open_line
from nervio.modules.fleet.routes.queueing import SUBMIT_TASK
from nervio.modules.fleet.settings import FleetSettings
from nervio.web.manifest import Manifest

MANIFEST = Manifest(
    name="fleet",
    hot_routes=(SUBMIT_TASK,),
    routers=(tasks.router, stream.router, live.router, figures.router, limits.router),
    settings=FleetSettings,
    open_line=open_line,
    permissions={
        READ: frozenset({"superadmin", "admin", "negocio", "ml_service"}),
        LIMIT: frozenset({"superadmin", "admin"}),
        SUBMIT_TASKS: frozenset({"admin", "negocio", "ml_service"}),
    },
)
