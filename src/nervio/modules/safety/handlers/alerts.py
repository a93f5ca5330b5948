"""What becomes an alert because somebody else says it happened."""

from __future__ import annotations

from dataclasses import replace

from nervio.db.context import Ctx
from nervio.db.halt import is_drill
from nervio.events.safety import DRILL_FAILED, HALT_ACTIVATED, HALT_CLEARED
from nervio.kernel.ids import NIL
from nervio.modules.identity import api as identity
from nervio.modules.safety.api import alerts
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.ports.bus import Event

HALTS_HEARD = (HALT_ACTIVATED, HALT_CLEARED)
DRILLS_HEARD = (DRILL_FAILED,)


async def tell_of_halt(ctx: Ctx, event: Event) -> None:
    """Tells of a stop, or of its end, in the shop it covers, or in every shop. Once: the event's id is the key."""
    activated = event.type == HALT_ACTIVATED
    halt = event.payload
    if is_drill(halt["module"]):
        return  # nobody is to be woken by a trial
    everywhere = halt["tenant_id"] is None
    alert = Alert(
        Severity.CRITICAL if activated else Severity.INFO,
        "halt_activated" if activated else "halt_cleared",
        "",
        "",
        f"{'halt' if activated else 'thaw'}:{halt['halt_id']}",
        "/console/stopped",
        {
            "scope": "installation" if everywhere else "tenant",
            "level": str(halt["level"]),
            "reason": str(halt["reason"]),
        },
    )
    for tenant_id in await _concerned(ctx, None if everywhere else halt["tenant_id"]):
        await alerts.raise_alert(replace(ctx, tenant_id=tenant_id), alert, f"{event.id}:{tenant_id}")


async def tell_of_drill(ctx: Ctx, event: Event) -> None:
    """Tells that a drill failed: a stop of that scope may not hold. Once, as for a stop."""
    drill = event.payload
    everywhere = drill["tenant_id"] is None
    alert = Alert(
        Severity.CRITICAL,
        "drill_failed",
        "",
        "",
        f"drill:{drill['tenant_id']}:{drill['module']}",
        "/console/safety/drills",
        {"scope": "installation" if everywhere else "tenant", "findings": ", ".join(drill["findings"])},
    )
    for tenant_id in await _concerned(ctx, None if everywhere else drill["tenant_id"]):
        await alerts.raise_alert(replace(ctx, tenant_id=tenant_id), alert, f"{event.id}:{tenant_id}")


async def _concerned(ctx: Ctx, tenant_id: str | None) -> list[str]:
    if tenant_id is not None:
        return [tenant_id]
    found: list[str] = []
    after: str | None = None
    everybody = replace(ctx, tenant_id=NIL, permissions=None)
    while page := await identity.list_tenants(everybody, after, identity.LONGEST_PAGE):
        found += [tenant.id for tenant in page]
        after = page[-1].slug
    return found
