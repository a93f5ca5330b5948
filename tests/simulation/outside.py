"""Calls to a platform outside, each asked of the breaker first: in the transaction that reads its row, as the product's own
orders do."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, update

from nervio.db.dialects import dialect_of
from nervio.db.tenancy import TenantConnection
from nervio.modules.safety.domain import breakers
from nervio.modules.safety.models.actions import ad_breakers
from nervio.modules.safety.store import actions as store
from tests.simulation.machine import MOST_SKEW_SECONDS, Machine
from tests.simulation.truth import FAILS_SAFE

if TYPE_CHECKING:
    from tests.simulation.world import World

PLATFORM = "01955000-0000-7000-8000-00000000beef"


class Caller:
    """Calls the platform from one process, again and again."""

    def __init__(self, world: "World", machine: Machine, tenant_id: str) -> None:
        self.world, self.machine, self.tenant_id = world, machine, tenant_id

    async def go_on(self) -> None:
        """For as long as the process lives."""
        while True:
            await asyncio.sleep(0.2 + self.world.random.random() * 2)
            with contextlib.suppress(Exception):  # a store that cannot be read lets nothing out, and is no news
                await self._call()

    async def _call(self) -> None:
        asked_at = self.world.loop.time()
        if not await self.machine.database.bookkeep("lease", self._ask):
            return
        self.world.platform.called(asked_at)
        answers = self.world.random.random() < 0.8
        await self.machine.database.bookkeep("lease", lambda c: self._tell(c, answers=answers))

    def _ask(self, connection: Connection) -> bool:
        tenant, dialect = TenantConnection(connection, self.tenant_id), dialect_of(connection)
        found = store.read_breaker(tenant, dialect, PLATFORM)
        admitted, breaker = breakers.admit(found, self.machine.clock.now())
        if breaker != found:
            store.write_breaker(tenant, dialect, PLATFORM, breaker)
        return admitted

    def _tell(self, connection: Connection, *, answers: bool) -> None:
        tenant, dialect = TenantConnection(connection, self.tenant_id), dialect_of(connection)
        found = store.read_breaker(tenant, dialect, PLATFORM)
        now = self.machine.clock.now()
        # A platform that answers closes nothing of which the state was lost in between: that is the half-open attempt's to say.
        if not answers:
            store.write_breaker(tenant, dialect, PLATFORM, breakers.after_failure(found, now))


class Platform:
    """What the outside sees of the breaker."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._lost_at: float | None = None

    async def install(self, machine: Machine, tenant_id: str) -> None:
        """A breaker that is closed."""

        def write(connection: Connection) -> None:
            tenant = TenantConnection(connection, tenant_id)
            store.write_breaker(tenant, dialect_of(connection), PLATFORM, breakers.CLOSED)

        await machine.database.bookkeep("lease", write)

    async def lose_breaker(self, machine: Machine) -> None:
        """Somebody empties the table, or writes into it what nobody knows."""
        garbled = self._world.random.random() < 0.3
        mine = ad_breakers.c.connection_id == PLATFORM

        def lose(connection: Connection) -> None:
            later = self._world.seconds_from_now(machine, breakers.OPEN_SECONDS)
            garble = update(ad_breakers).where(mine).values(state="?", open_until=later, probe_until=0)
            connection.execute(garble if garbled else delete(ad_breakers).where(mine))

        task = machine.spawn(machine.database.bookkeep("lease", lose))
        await asyncio.wait([task], timeout=5)
        if task.done() and not task.cancelled() and task.exception() is None:
            self._world.loop.tell("the breaker is lost")
            self._lost_at = self._world.loop.time()

    def called(self, asked_at: float) -> None:
        """A call went out, for which the breaker was asked at that moment or later."""
        since = None if self._lost_at is None or asked_at <= self._lost_at else asked_at - self._lost_at
        if since is not None and since < breakers.OPEN_SECONDS - 2 * MOST_SKEW_SECONDS:
            self._world.truth.fail(FAILS_SAFE, f"a call went out {since:.2f} s after the breaker's state was lost")
