"""What becomes an alert because an event says it happened: told once, in every shop that it concerns."""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from nervio.db.context import Ctx
from nervio.events.safety import DRILL_FAILED, HALT_ACTIVATED, HALT_CLEARED, DrillFinished, HaltActivated, HaltCleared
from nervio.kernel.ids import NIL, new_id
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import NewTenant
from nervio.modules.safety.api import alerts
from nervio.modules.safety.contracts.alerts import AlertRecord, Severity
from nervio.modules.safety.domain.alerts import words_of
from nervio.modules.safety.handlers.alerts import tell_of_drill, tell_of_halt
from nervio.ports.bus import Event
from tests.runtime.program import a_program


def an_event(kind: str, tenant_id: str | None, payload: object) -> Event:
    fields = asdict(payload)  # type: ignore[call-overload]
    return Event(new_id(), kind, tenant_id or NIL, "k", 1, 0, 0, fields)


def stopped(tenant_id: str | None, module: str | None = None, halt_id: str = "h") -> Event:
    halt = HaltActivated(halt_id, tenant_id, module, None, "all", "fire", "ana", 0)
    return an_event(HALT_ACTIVATED, tenant_id, halt)


async def told(ctx: Ctx) -> list[AlertRecord]:
    return await alerts.list_alerts(ctx)


@dataclass(frozen=True)
class Shops:
    """Two shops of one installation."""

    ctx: Ctx
    neighbour: Ctx


@pytest.fixture
async def shops(tmp_path: Path) -> AsyncIterator[Shops]:
    async with a_program(tmp_path) as program:
        app = program.app
        tenant = await app.first_tenant()
        assert tenant is not None
        made = await identity.create_tenant(app.system_ctx(), app.authenticator, NewTenant("other", "Other shop"))
        yield Shops(app.system_ctx(tenant.id), app.system_ctx(made.tenant.id))


async def test_a_stop_is_told_once_in_its_own_shop(shops: Shops) -> None:
    event = stopped(shops.ctx.tenant_id)
    for _ in range(2):
        await tell_of_halt(shops.ctx, event)
    (alert,) = await told(shops.ctx)
    assert (alert.code, alert.severity, alert.count) == ("halt_activated", Severity.CRITICAL, 1)
    assert await told(shops.neighbour) == []


async def test_a_stop_of_everything_and_its_end_are_told_in_every_shop(shops: Shops) -> None:
    await tell_of_halt(shops.ctx, stopped(None))
    cleared = HaltCleared("h", None, None, None, "all", "out", "ana", 1)
    await tell_of_halt(shops.ctx, an_event(HALT_CLEARED, None, cleared))
    for shop in (shops.ctx, shops.neighbour):
        assert {alert.code for alert in await told(shop)} == {"halt_cleared", "halt_activated"}


async def test_a_drill_wakes_nobody_unless_it_failed(shops: Shops) -> None:
    await tell_of_halt(shops.ctx, stopped(None, "drill"))
    assert await told(shops.ctx) == []
    found = ("a write got through: till",)
    failed = DrillFinished("d", shops.ctx.tenant_id, "sales", found, 5000, None)
    for _ in range(2):
        await tell_of_drill(shops.ctx, an_event(DRILL_FAILED, shops.ctx.tenant_id, failed))
    (alert,) = await told(shops.ctx)
    assert (alert.code, alert.severity, alert.link, alert.count) == (
        "drill_failed",
        Severity.CRITICAL,
        "/console/safety/drills",
        2,
    )
    assert await told(shops.neighbour) == []
    for language in ("es", "en"):
        title, body = words_of(alert.code, "", "", alert.figures, language)
        assert title != alert.code
        assert found[0] in body
