"""Drills: trying the stop of a scope, and how every scope stands."""

from __future__ import annotations

import logging
from datetime import time

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND, from_datetime, to_datetime
from nervio.modules.identity import api as identity
from nervio.modules.safety.api.halts import READ
from nervio.modules.safety.contracts.drills import Drill, DrillScope, DrillState
from nervio.modules.safety.contracts.halts import Scope
from nervio.modules.safety.domain.drills import check_part, last_slot, scopes_of, stand_of
from nervio.modules.safety.settings import SafetySettings
from nervio.modules.safety.store import drills as store
from nervio.modules.safety.usecases.drilling import (
    BEGIN_DRILL,
    FINISH_DRILL,
    LONGEST_DRILL_SECONDS,
    PROBES,
    drill,
    give_up,
)

log = logging.getLogger(__name__)

RUN_DRILL = "safety.drill"
RUN_INSTALLATION_DRILL = "safety.drill_installation"

LONGEST_LIST = 200
WARM_UP_SECONDS = 600.0
"""A machine that was off when the drills were due makes them up after this, once whoever starts it has started."""
ROUND_SECONDS = 1.0


async def run_drill(ctx: Ctx, scope: Scope = Scope.TENANT, module: str | None = None) -> Drill:
    """Tries the stop of the caller's shop, of one of its modules, or of the installation, without anybody noticing.

    Through the real path: writes on every lane must pass, be refused as stopped, and pass again. Raises `forbidden`, `invalid`,
    `conflict` while the same drill is under way, `halted` while the scope is really stopped. A drill that fails is no error:
    its `findings` say what happened.
    """
    ctx.require(RUN_INSTALLATION_DRILL if scope is Scope.INSTALLATION else RUN_DRILL)
    tenant_id = None if scope is Scope.INSTALLATION else ctx.tenant_id
    part = check_part(module)
    if tenant_id is None and part is not None:
        raise NervioError(
            Kind.INVALID,
            "whole_installation",
            "An installation is drilled as a whole; leave module out.",
            field="module",
        )
    finished = await drill(ctx, tenant_id, part)
    found = await ctx.read(lambda c: store.list_drills(c.untenanted(), [tenant_id], LONGEST_LIST))
    return next(one for one in found if one.id == finished.drill_id)


async def list_scopes(ctx: Ctx, red_after_days: int) -> list[DrillScope]:
    """How the stop of every scope of the caller's shop stands, and that of the installation; red ones first."""
    ctx.require(READ)
    last = await ctx.read(lambda c: store.list_last(c.untenanted(), [ctx.tenant_id, None]))
    by_scope = {(one.tenant_id, one.module): one for one in last}
    now = ctx.clock.now()
    stands = [stand_of(scope, by_scope, now, red_after_days) for scope in scopes_of([ctx.tenant_id])]
    return sorted(stands, key=lambda stand: not stand.is_red)


async def list_drills(ctx: Ctx, *, limit: int = 50) -> list[Drill]:
    """Drills of the caller's shop and of the installation, the newest first."""
    ctx.require(READ)
    return await ctx.read(lambda c: store.list_drills(c.untenanted(), [ctx.tenant_id, None], min(limit, LONGEST_LIST)))


class DrillSchedule:
    """Drills every scope once a week, and ends the records of drills whose process died. For the scheduler."""

    def __init__(self, settings: SafetySettings) -> None:
        self._settings = settings
        self._at = time.fromisoformat(settings.drill_at)
        self._began: float | None = None

    async def run(self, ctx: Ctx) -> None:
        """One round of about a second. A scope that is really stopped keeps its turn."""
        now, passed = ctx.clock.now(), ctx.clock.monotonic()
        self._began = passed if self._began is None else self._began
        stale = await ctx.database.read(lambda c: store.find_stale(c, now - LONGEST_DRILL_SECONDS * SECOND))
        for left in stale:
            await give_up(ctx, left)
        slot = from_datetime(last_slot(self._settings.drill_weekday, self._at, to_datetime(now).astimezone()))
        running_us = round((passed - self._began) * SECOND)
        if not self._settings.drills or (slot < now - running_us and passed - self._began < WARM_UP_SECONDS):
            return
        last = await ctx.database.read(lambda c: store.list_last(c, None))
        fresh = {(one.tenant_id, one.module) for one in last if one.started_at >= slot}
        tenants = await self._tenants(ctx)
        for tenant_id, module in scopes_of(tenants):
            if (tenant_id, module) in fresh:
                continue
            if ctx.clock.monotonic() - passed > ROUND_SECONDS:
                return
            try:
                await drill(ctx, tenant_id, module)
            except NervioError as error:
                if error.kind not in {Kind.HALTED, Kind.CONFLICT}:
                    raise

    async def _tenants(self, ctx: Ctx) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while page := await identity.list_tenants(ctx, after, identity.LONGEST_PAGE):
            found += [tenant.id for tenant in page]
            after = page[-1].slug
        return found


__all__ = [
    "BEGIN_DRILL",
    "FINISH_DRILL",
    "PROBES",
    "RUN_DRILL",
    "RUN_INSTALLATION_DRILL",
    "DrillSchedule",
    "DrillState",
    "list_drills",
    "list_scopes",
    "run_drill",
]
