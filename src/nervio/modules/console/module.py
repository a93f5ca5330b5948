"""The console's manifest: its rooms, and after them what no room answers."""

from __future__ import annotations

from nervio.modules.console import routes
from nervio.modules.console.jobs import IMPORT_PRODUCTS
from nervio.modules.console.rooms.account import routes as account
from nervio.modules.console.rooms.actions import routes as actions
from nervio.modules.console.rooms.ask import routes as ask
from nervio.modules.console.rooms.dashboard import routes as dashboard
from nervio.modules.console.rooms.imports import routes as imports
from nervio.modules.console.rooms.jobs import routes as jobs
from nervio.modules.console.rooms.journal import routes as journal
from nervio.modules.console.rooms.limits import routes as limits
from nervio.modules.console.rooms.login import routes as login
from nervio.modules.console.rooms.products import routes as products
from nervio.modules.console.rooms.receipts import routes as receipts
from nervio.modules.console.rooms.rules import routes as rules
from nervio.modules.console.rooms.safety import routes as safety
from nervio.modules.console.rooms.safety_events import routes as safety_events
from nervio.modules.console.rooms.sell import routes as sell
from nervio.modules.console.rooms.setup import routes as setup
from nervio.modules.console.rooms.stock import routes as stock
from nervio.modules.console.rooms.stop import routes as stop
from nervio.modules.console.rooms.tasks import routes as tasks
from nervio.modules.console.rooms.users import routes as users
from nervio.modules.console.rooms.views import routes as views
from nervio.modules.console.rooms.vitals import routes as vitals
from nervio.modules.console.rooms.workers import routes as workers
from nervio.web.manifest import Manifest

ROOMS = (
    dashboard,
    sell,
    products,
    imports,
    stock,
    receipts,
    journal,
    users,
    account,
    views,
    rules,
    safety,
    stop,
    actions,
    vitals,
    tasks,
    ask,
    workers,
    limits,
    jobs,
    login,
    setup,
    safety_events,
)

MANIFEST = Manifest(
    name="console",
    jobs=(IMPORT_PRODUCTS,),
    routers=(
        routes.files,
        routes.router,
        *(room.router for room in ROOMS),
        dashboard.data,
        setup.data,
        routes.nowhere,
    ),
)
