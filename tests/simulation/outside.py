"""A platform outside that runs campaigns, and the product's own workers that give it orders: booked, claimed past the breaker
and the stops, sent, read back. What the platform sees of them is judged here."""

import asyncio
import base64
import contextlib
import sqlite3
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, update

from nervio.db.vault import Vault
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import SaveCampaign
from nervio.modules.safety.domain import breakers
from nervio.modules.safety.models.actions import ad_breakers
from nervio.modules.safety.usecases.acting import RecordStep
from nervio.ports.actions import Account, Answer, CampaignStatus, Order, Outcome, Reading
from tests.simulation.machine import MOST_SKEW_SECONDS, Machine
from tests.simulation.seeded import ACTOR
from tests.simulation.server import Session
from tests.simulation.truth import CONFIRMED, FAILS_SAFE, READ_FIRST

if TYPE_CHECKING:
    from tests.simulation.world import World

POLICY = actions.Policy(longest_pause_seconds=4.0, claim_seconds=4.0, refused_pause_seconds=2.0)
VAULT = Vault(base64.urlsafe_b64encode(bytes(64)).decode())
CAMPAIGNS = ("C-1", "C-2")
RESUMING = {"safety", "ledger", "sales", "stock"}
"""What a resume counts as: a stop of any of these forbids it, wherever."""
SURE_SECONDS = breakers.OPEN_SECONDS / 2
"""An open breaker counts from when the transaction began that opened it, which may have waited since, and by its own clock."""
LONGEST_SLOWNESS = 1.5
BREAKER_LOST = 0.3
"""How often just before an order, in calm runs too."""


def begin(world: "World", machine: Machine) -> None:
    """Runs the product's worker in a process."""
    random = Random(f"{world.seed}/worker {machine.name}")

    def open_platform(_kind: str, _account: Account) -> Line:
        return Line(world.platform)

    find_blocking = machine.watch.find_blocking_effect
    worker = actions.ActionWorker(
        open_platform, VAULT, find_blocking, machine.name, policy=POLICY, parallel=4, draw=random.random
    )

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.3 + random.random() * 0.4)
            with contextlib.suppress(Exception):  # a store that cannot be read lets nothing out, and is no news
                await worker.run(machine.ctx)

    machine.spawn(go_on())


class Advertiser:
    """Orders campaigns to be paused and resumed."""

    def __init__(self, world: "World") -> None:
        self.world, self.random = world, Random(f"{world.seed}/advertiser")

    async def go_on(self) -> None:
        """For ever."""
        random, n = self.random, 0
        while True:
            await asyncio.sleep(random.random() * 1.5)
            does = random.choice((actions.pause_campaigns, actions.resume_campaigns, actions.resume_campaigns))
            one = random.choice((None, *self.world.platform.ids))
            machine, n = self.world.any_machine(random), n + 1
            if machine is not None and random.random() < BREAKER_LOST and self.world.may("breaker_lost"):
                await self.world.platform.lose_breaker(machine)
            if machine is not None and self.world.may("order"):
                campaigns = None if one is None else [one]
                order = does(
                    machine.ctx, products=None, campaigns=campaigns, reason="test", cause="manual", key=f"order-{n}"
                )
                await asyncio.wait([machine.spawn(order)], timeout=5)


class Platform:
    """The platform, and what of the orders was let out when."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = Random(f"{world.seed}/platform")
        self.ids: dict[str, str] = {}
        """By our ids, theirs."""
        self._runs: dict[str, CampaignStatus] = dict.fromkeys(CAMPAIGNS, CampaignStatus.RUNNING)
        self._unread: set[str] = set()
        """Resumes that may have arrived, and nobody has looked since."""
        self._let_out: dict[str, tuple[int, int, float, Any]] = {}
        """Of each order: the token and the number of its last sending, when it was let out, and by whom."""
        self._recorded: set[str] = set()
        self._failures = 0
        self._shut_at: float | None = None
        """Since when the breaker must not let anything out; None while it may."""
        self._is_lost = False
        self._late = 0
        self.away_until = 0.0

    async def install(self, machine: Machine) -> None:
        """An account with a breaker that is closed, and its campaigns."""
        fields = {"url": "https://ads.example/orders", "signing_secret": "s" * 32}
        account = await actions.save_connection(machine.ctx, VAULT, "Agency", "webhook", fields, key="account")
        for name in CAMPAIGNS:
            campaign = SaveCampaign(None, account.id, name, name, 1000, "ARS", ())
            saved = await actions.save_campaign(machine.ctx, campaign, f"campaign-{name}")
            self.ids[saved.id] = name

    async def lose_breaker(self, machine: Machine) -> None:
        """Somebody empties the table, or writes into it what nobody knows."""
        garbled = self._random.random() < 0.3

        def lose(connection: Connection) -> None:
            session: Session = connection.info["session"]
            session.note = "breaker lost"
            later = self._world.seconds_from_now(machine, breakers.OPEN_SECONDS)
            connection.execute(
                update(ad_breakers).values(state="?", open_until=later, probe_until=0)
                if garbled
                else delete(ad_breakers)
            )

        await asyncio.wait([machine.spawn(machine.database.bookkeep("lease", lose))], timeout=5)

    # -- what is committed here -----------------------------------------------------------------------------------------

    def committed(self, session: Session, raw: sqlite3.Connection) -> None:
        """Follows the breaker, and judges what a commit has let out."""
        now, world = self._world.loop.time(), self._world
        if session.note == "breaker lost":
            world.loop.tell("the breaker is lost")
            self._shut_at, self._is_lost = now, True
        if session.commit_row is None or not self.ids:
            return
        for command in session.asked:
            if isinstance(command.body, RecordStep) and command.key not in self._recorded:
                self._recorded.add(command.key or "")
                self._learn(command.body, now)
        if any(command.operation.name == "safety.claim_resumes" for command in session.asked):
            claims = "SELECT id, claim_token, sends, step FROM ad_actions WHERE kind = 'resume'"
            for order, token, sends, step in raw.execute(claims).fetchall():
                known = self._let_out.get(order, (0, 0, 0.0, None))
                # Others in the same batch may have claimed it to read it back: those count no sending.
                if token > known[0] and (sends > known[1] or step == "send"):
                    self._let_out[order] = (token, sends, now, session.actor)
                    self._judge(order, now)

    def _learn(self, step: RecordStep, now: float) -> None:
        """What the breaker makes of a step, as a person would say it: five failures in a row open it, any answer shuts it."""
        if step.answer is None and step.reading is None:
            return
        if step.answer is not None:
            sound = step.answer.outcome in (Outcome.APPLIED, Outcome.REFUSED)
        else:
            assert step.reading is not None
            sound = step.reading.status is not CampaignStatus.UNKNOWN
        if sound:
            self._failures, self._shut_at, self._is_lost = 0, None, False
            return
        self._failures += 1
        if self._failures >= breakers.FAILURES_TO_OPEN or self._is_lost:
            self._shut_at = now

    def _judge(self, order: str, now: float) -> None:
        world = self._world
        world.loop.tell(f"resume {order[-6:]} is let out")
        if self._shut_at is not None and now < self._shut_at + SURE_SECONDS:
            why = "its state was lost" if self._is_lost else "it opened"
            world.truth.fail(FAILS_SAFE, f"a resume was let out {now - self._shut_at:.2f} s after {why}")
        world.truth.check_stops("a resume of a campaign", RESUMING, None, gives_back=False)

    # -- what arrives there ---------------------------------------------------------------------------------------------

    async def take(self, order: Order, wanted: CampaignStatus) -> Answer:
        """An order is on its way, may arrive, and may be answered."""
        faults = self._world.faults
        if wanted is CampaignStatus.RUNNING:
            self._check_sending(order)
        await self._world.loop.pause(f"platform {wanted.value} {order.campaign}")
        sender = ACTOR.get()
        if faults.strikes("sender_dies"):
            self._world.loop.outside(self._world.luck.crash(sender, self._random))
        if self._world.loop.time() < self.away_until or faults.strikes("order_not_sent"):
            self._unread.discard(order.key)
            return Answer(Outcome.NOT_SENT, "nobody answers")
        if faults.strikes("order_slow"):
            await asyncio.sleep(self._random.random() * LONGEST_SLOWNESS)
        if faults.strikes("order_refused"):
            return Answer(Outcome.REFUSED, "no")
        if faults.strikes("order_late"):
            self._world.loop.outside(self._take_later(order, wanted))
            return Answer(Outcome.UNKNOWN, "no answer")
        arrives = not faults.strikes("order_ignored")
        if arrives:
            self._runs[order.campaign] = wanted
        if faults.strikes("order_unanswered"):
            return Answer(Outcome.UNKNOWN, "no answer")
        return Answer(Outcome.APPLIED, "ok")

    async def read(self, campaign: str) -> Reading:
        """What the campaign does, if the platform says so."""
        await self._world.loop.pause(f"platform read {campaign}")
        if self._world.loop.time() < self.away_until or self._world.faults.strikes("reading_lost"):
            return Reading(CampaignStatus.UNKNOWN, "nobody answers")
        ours = next(one for one, theirs in self.ids.items() if theirs == campaign)
        mine = "SELECT id FROM ad_actions WHERE campaign_id = ?"
        for (order,) in self._world.truth.raw.execute(mine, (ours,)):
            self._unread.discard(order)
        return Reading(self._runs[campaign], "ok")

    def _check_sending(self, order: Order) -> None:
        _, _, let_out_at, by = self._let_out.get(order.key, (0, 0, float("-inf"), None))
        if ACTOR.get() is not by or self._world.loop.time() > let_out_at + POLICY.claim_seconds - 2 * MOST_SKEW_SECONDS:
            self._late += 1  # it stood still for longer than its claim: nobody can keep it from sending any more
            return
        if order.key in self._unread:
            self._world.truth.fail(READ_FIRST, f"the resume {order.key[-6:]} was sent again, and nobody had looked")
        self._unread.add(order.key)

    async def _take_later(self, order: Order, wanted: CampaignStatus) -> None:
        await asyncio.sleep(self._random.random() * LONGEST_SLOWNESS)
        self._runs[order.campaign] = wanted

    def check_confirmed(self, raw: sqlite3.Connection) -> None:
        """At the end: what is confirmed last is so."""
        last = "SELECT c.external_id, a.kind, a.state FROM ad_campaigns c JOIN ad_actions a ON a.id = c.last_action_id"
        for campaign, kind, state in raw.execute(last).fetchall() if not self._late else ():
            wanted = CampaignStatus.PAUSED if kind == "pause" else CampaignStatus.RUNNING
            if state == "confirmed" and self._runs[campaign] is not wanted:
                self._world.truth.fail(CONFIRMED, f"{campaign} is {self._runs[campaign]}, confirmed is a {kind}")


@dataclass(frozen=True)
class Line:
    """The product's port to the platform."""

    platform: Platform

    async def pause(self, order: Order) -> Answer:
        """Asks for a pause."""
        return await self.platform.take(order, CampaignStatus.PAUSED)

    async def resume(self, order: Order) -> Answer:
        """Asks for the campaign to run again."""
        return await self.platform.take(order, CampaignStatus.RUNNING)

    async def read_back(self, campaign: str) -> Reading:
        """Reads what it does."""
        return await self.platform.read(campaign)

    async def close(self) -> None:
        """Nothing to let go of."""
