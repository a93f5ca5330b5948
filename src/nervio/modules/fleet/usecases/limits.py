"""The limits of a tenant: what they are, how they are changed, and what they leave room for when work is handed out."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.queue import count_running
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.fleet.book import LimitsBook, day_of
from nervio.modules.fleet.contracts import Limits, LimitsState
from nervio.modules.fleet.domain.limits import Used, find_reached, list_quotas, write_limits
from nervio.modules.fleet.store import limits as store
from nervio.modules.fleet.store.tasks import QUEUE
from nervio.modules.ledger import api as ledger
from nervio.ports.clock import Clock

LOOK_SECONDS = 1.0
"""How soon a process that hands out work hears of limits that another one wrote."""


def _resolve(batch: Batch, commands: Sequence[Command[Limits, Limits]]) -> None:
    for command in commands:
        batch.book(LimitsBook).want(command.tenant_id, make=True)


def _change(batch: Batch, command: Command[Limits, Limits]) -> Limits:
    tenant_id = command.tenant_id
    before = batch.book(LimitsBook).change(batch, tenant_id, command.actor_id, command.body)
    details = {"before": write_limits(before), "after": write_limits(command.body)}
    ledger.book(batch).post(tenant_id, command.actor_id, "limits_changed", tenant_id, "", batch.now, [], details)
    return command.body


CHANGE_LIMITS: Operation[Limits, Limits] = Operation(
    "fleet.change_limits", Effect.INCREASE, Limits, Limits, _change, _resolve, touches=("ledger",)
)


def read_state(connection: TenantConnection, now: Instant) -> LimitsState:
    """The limits of the tenant and what is used of them."""
    limits, changed_by, changed_at = store.find_limits(connection)
    used = store.read_own_used(connection, day_of(now))
    quotas = tuple(list_quotas(limits, used, now))
    running = count_running(connection.untenanted(), QUEUE).get(connection.tenant_id, 0)
    return LimitsState(limits, quotas, running, changed_by, changed_at)


class LimitWatch:
    """Keeps in mind which tenants have limits, so that work of the others is handed out without a statement more. What it says
    is a first look; the claim decides again, on locked rows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[str, Limits] = {}
        self._look_at = -math.inf

    def has(self, tenant_id: str) -> bool:
        """Whether the tenant had limits at the last look."""
        return tenant_id in self._limits

    def look(self, connection: Connection, tenants: Collection[str]) -> dict[str, int]:
        """How many more tasks of a tenant may begin; those that may begin any number are left out."""
        if self._clock.monotonic() >= self._look_at:
            self._limits = store.list_limited(connection)
            self._look_at = self._clock.monotonic() + LOOK_SECONDS
        asked = [tenant_id for tenant_id in tenants if tenant_id in self._limits]
        if not asked:
            return {}
        now = self._clock.now()
        used = store.read_used(connection, asked, day_of(now))
        running = count_running(connection, QUEUE)
        rooms = {
            tenant_id: room_of(self._limits[tenant_id], used[tenant_id], running.get(tenant_id, 0), now)
            for tenant_id in asked
        }
        return {tenant_id: room for tenant_id, room in rooms.items() if room is not None}


def room_of(limits: Limits, used: Used, running: int, now: Instant) -> int | None:
    """How many more tasks may begin; None for any number."""
    if find_reached(list_quotas(limits, used, now), also_tasks=False) is not None:
        return 0
    return None if limits.most_running is None else max(0, limits.most_running - running)
