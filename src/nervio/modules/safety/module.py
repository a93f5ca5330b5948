"""What the safety module brings to the program."""

from __future__ import annotations

from nervio.modules.safety.api import actions, alerts, drills, events, policies, rules
from nervio.modules.safety.api import halts as api
from nervio.modules.safety.handlers.alerts import DRILLS_HEARD, HALTS_HEARD, tell_of_drill, tell_of_halt
from nervio.modules.safety.handlers.rules import HEARD, look_sooner
from nervio.modules.safety.routes import actions as action_routes
from nervio.modules.safety.routes import alerts as alert_routes
from nervio.modules.safety.routes import drills as drill_routes
from nervio.modules.safety.routes import events as event_routes
from nervio.modules.safety.routes import halts as halt_routes
from nervio.modules.safety.routes import policies as policy_routes
from nervio.modules.safety.routes import rules as rule_routes
from nervio.modules.safety.settings import SafetySettings
from nervio.web.manifest import EventHandler, Manifest, Periodic

ON_DUTY = frozenset({"superadmin", "admin", "deposito", "negocio", "cashier"})
"""Everyone but the machines: who sees that something is wrong must not have to look for somebody who may stop it."""

MANIFEST = Manifest(
    name="safety",
    routers=(
        halt_routes.router,
        policy_routes.router,
        drill_routes.router,
        rule_routes.router,
        event_routes.router,
        action_routes.router,
        alert_routes.router,
    ),
    periodics=(Periodic("safety.advance", role="scheduler", seconds=0.5, run=api.advance),),
    handlers=(
        EventHandler("safety.look_sooner", HEARD, look_sooner),
        EventHandler("safety.tell_of_halt", HALTS_HEARD, tell_of_halt),
        EventHandler("safety.tell_of_drill", DRILLS_HEARD, tell_of_drill),
    ),
    settings=SafetySettings,
    permissions={
        api.STOP: ON_DUTY,
        api.READ: ON_DUTY,
        api.RESUME: frozenset({"superadmin", "admin"}),
        api.RESUME_AT_ONCE: frozenset({"superadmin", "admin"}),
        policies.WRITE_POLICY: frozenset({"superadmin", "admin"}),
        policies.WRITE_INSTALLATION_POLICY: frozenset({"superadmin"}),
        events.READ_EVENTS: frozenset({"superadmin", "admin"}),
        events.REPLAY_EVENTS: frozenset({"superadmin", "admin"}),
        rules.READ_RULES: frozenset({"superadmin", "admin", "negocio"}),
        rules.WRITE_RULES: frozenset({"superadmin", "admin"}),
        drills.RUN_DRILL: frozenset({"superadmin", "admin"}),
        drills.RUN_INSTALLATION_DRILL: frozenset({"superadmin"}),
        api.STOP_INSTALLATION: frozenset({"superadmin"}),
        api.RESUME_INSTALLATION: frozenset({"superadmin"}),
        actions.PAUSE: ON_DUTY,
        actions.RESUME: frozenset({"superadmin", "admin", "negocio"}),
        actions.MANAGE: frozenset({"superadmin", "admin", "negocio"}),
        alerts.ACKNOWLEDGE_ALERTS: ON_DUTY,
        alerts.MANAGE_ALERTS: frozenset({"superadmin", "admin"}),
    },
)
