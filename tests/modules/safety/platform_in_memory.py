"""A platform that obeys, hangs or is not heard of, and the worker that talks to it."""

import asyncio
from dataclasses import dataclass, field

from nervio.db.halt import Halt, Level
from nervio.kernel.ids import NIL
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import MANUAL, ActionRecord
from nervio.modules.safety.usecases.sending import ActionWorker
from nervio.ports.actions import Account, Answer, CampaignStatus, Order, Outcome, Reading
from tests.builders import Store
from tests.modules.safety.campaigns import VAULT, a_campaign, a_connection


@dataclass(slots=True)
class Truth:
    """A platform in memory: what its campaign does, what it was told, and whether it answers at once."""

    status: CampaignStatus = CampaignStatus.RUNNING
    told: list[str] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most_under_way: int = 0
    fails: bool = False

    def __call__(self, _kind: str, _account: Account) -> "Truth":
        return self

    async def pause(self, order: Order) -> Answer:
        return await self._do("pause", CampaignStatus.PAUSED, order)

    async def resume(self, order: Order) -> Answer:
        return await self._do("resume", CampaignStatus.RUNNING, order)

    async def _do(self, action: str, status: CampaignStatus, _order: Order) -> Answer:
        self.told.append(action)
        self.started.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.answers.wait()
        finally:
            self.under_way -= 1
        if self.fails:
            return Answer(Outcome.UNKNOWN, "broken")
        self.status = status
        return Answer(Outcome.APPLIED, "ok")

    async def read_back(self, _campaign: str) -> Reading:
        self.told.append("read")
        return Reading(CampaignStatus.UNKNOWN if self.fails else self.status, "read")

    async def close(self) -> None:
        """Holds nothing."""


def a_worker(truth: Truth, name: str = "one", parallel: int = 8, stopped: bool = False) -> ActionWorker:
    halt = Halt(NIL, None, None, None, Level.READ_ONLY, "fire", "tester", 0) if stopped else None
    return ActionWorker(truth, VAULT, lambda _tenant, _module: halt, name, draw=lambda: 0.5, parallel=parallel)


async def rounds(store: Store, worker: ActionWorker, seconds: int = 1) -> None:
    for _ in range(seconds):
        await worker.run(store.ctx)
        await worker.settle()
        store.clock.advance(1)


async def pause(store: Store) -> ActionRecord:
    (booked,) = await actions.pause_campaigns(store.ctx, products=None, reason="no stock", cause="r", key=None)
    return booked


async def resume(store: Store) -> ActionRecord:
    (booked,) = await actions.resume_campaigns(store.ctx, products=None, reason="back", cause=MANUAL, key=None)
    return booked


async def one_campaign(store: Store) -> str:
    connection = await a_connection(store)
    await a_campaign(store, connection)
    return connection.id
