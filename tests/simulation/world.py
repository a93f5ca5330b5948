"""One seed, one story: a shop on a few processes, its customers, and the bad luck they meet."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from nervio.db.batch import Lane
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import SECOND
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.models import products
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Sealing
from nervio.modules.safety import api as safety
from nervio.modules.stock import api as stock
from nervio.ports.bus import BusChanged, Event
from nervio.runtime.periodics import PacedWork, PeriodicRunner
from nervio.web.manifest import Periodic
from tests.builders import NOON
from tests.oracle import OK, Shop
from tests.performing import compare, furnishing, verdict
from tests.simulation import following, guards, locksmiths, observing, outside, speaking
from tests.simulation.blows import BadLuck
from tests.simulation.customers import Customer, Holders, TurnTaker
from tests.simulation.decisions import Decisions, Name
from tests.simulation.faults import Faults
from tests.simulation.machine import Machine, take_over
from tests.simulation.post import Post
from tests.simulation.seeded import MOST_STEPS, SeededLoop, Stuck
from tests.simulation.server import Session, SimulatedServer
from tests.simulation.truth import ENDS, FENCED, FOLLOWED, FOLLOWED_IN_ORDER, SEALED, SOUND, Broken, Truth

TENANT = "01955000-0000-7000-8000-000000000001"
LONGEST_STORY = 900.0
"""Virtual seconds."""
DEEDS = 60
PARTS = {
    "stops": 0.6,
    "more stops": 0.3,
    "expiry": 0.5,
    "stages": 0.5,
    "two people": 0.3,
    "leases": 0.5,
    "locks": 0.4,
    "handlers": 0.4,
    "orders": 0.4,
}
"""What a story may have beside its customers, and how often: a race hides less where less goes on."""


@dataclass(frozen=True)
class Story:
    """What came of a seed."""

    seed: int
    failure: Broken | None
    trace_hash: str
    steps: int
    judged: int
    virtual_seconds: float
    faults: dict[str, int] = field(default_factory=dict)
    trace: Sequence[str] = ()
    taken: Sequence[Name] = ()
    """What the seed decided."""


def play(
    seed: int,
    folder: Path,
    template: bytes,
    schema: Sequence[str] = (),
    only: frozenset[Name] | None = None,
    most_steps: int = MOST_STEPS,
) -> Story:
    """Plays a seed from the beginning to the end, or to the first promise that breaks. `schema`: statements that damage the
    empty database first, where a planted race needs that. `only`: those of its decisions that are to happen."""
    path = folder / f"{seed}.db"
    path.write_bytes(template)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript(";\n".join([observing.TABLE, following.TABLE, locksmiths.TABLE, *schema]))
    world = World(seed, path, Decisions(only))
    world.loop.most_steps = most_steps
    try:
        world.loop.run_until_complete(world.run())
    except Stuck as stuck:
        world.truth.fail(ENDS, str(stuck))
    except Broken as broken:
        world.truth.fail(broken.promise, broken.detail)
    finally:
        story = world.story()
        world.close()
    return story


class World:
    """Everything there is in one story."""

    def __init__(self, seed: int, path: Path, decisions: Decisions) -> None:
        self.seed, self.path, self.decisions = seed, path, decisions
        self.random = Random(f"{seed}/story")
        self.loop = SeededLoop(Random(f"{seed}/schedule"), decisions)
        self.faults = Faults(Random(f"{seed}/faults"), 0.0, decisions)
        self.server = SimulatedServer(path, self.loop, self.faults)
        self.post = Post(self.loop, self.faults)
        self.truth = Truth(self.loop, path, Shop(NOON))
        self.holders = Holders(self.loop.time, self.truth.fail)
        self.tenant_id = TENANT
        drawn = [part for part in PARTS if Random(f"{seed}/{part}").random() < PARTS[part]]
        self.parts = frozenset(part for part in drawn if decisions.takes(part.replace(" ", "_"), 1))
        self.platform = outside.Platform(self)
        self.keepers = locksmiths.Keepers(self)
        self.machines: list[Machine] = []
        self.luck = BadLuck(self)
        self.places: dict[str, str] = {}
        self.pace = self.random.choice((0.0, 0.0, 0.005, 0.2, 1.0))
        """Seconds that a customer takes between two deeds, at most."""
        self._made, self._lives = 0, 0
        self._stops_open, self._stopped_until = 0, -1.0
        self._key = Ed25519PrivateKey.from_private_bytes(Random(f"{seed}/key").randbytes(32))
        self._world_tasks: list[asyncio.Task[Any]] = []
        speaking.learn()
        speaking.listen(self.server.engine)
        take_over(self.loop, self.server, Random(f"{seed}/ids"))
        self.server.publish = self._publish_early
        self.server.on_commit.append(self._committed)
        self.server.locks.on_deadlock = self.truth.deadlocked
        self.post.on_accept.append(self.truth.accepted)

    def _committed(self, session: Session) -> None:
        self.truth.committed(session)
        self.platform.committed(session, self.truth.raw)
        for token, newest in locksmiths.stale_writes(self.truth.raw, session.writes):
            self.truth.fail(FENCED, f"a write with token {token} was committed, the newest is {newest}")

    # -- what customers ask -------------------------------------------------------------------------------------------

    def next_deed(self) -> int | None:
        """The number of the next deed; None when there were enough, or something broke."""
        if self._made >= DEEDS or self.truth.failure is not None:
            return None
        self._made += 1
        return self._made

    def may(self, what: str) -> bool:
        """Whether somebody may go on to do such a thing now."""
        return self.truth.failure is None and self.decisions.happens(what)

    def any_machine(self, random: Random) -> Machine | None:
        """A process that answers, if there is one."""
        ready = [machine for machine in self.machines if machine.ready]
        return random.choice(ready) if ready else None

    def begin_stop(self) -> None:
        """From now on somebody may be refused as stopped."""
        self._stops_open += 1

    def end_stop(self) -> None:
        """A stop was let go."""
        self._stops_open -= 1
        self._stopped_until = self.loop.time()

    def was_stopped_since(self, moment: float) -> bool:
        """Whether a stop may have been in force at some time since."""
        return self._stops_open > 0 or self._stopped_until >= moment

    def seconds_of(self, instant: int) -> float:
        """The true time at which a clock without skew shows the instant."""
        return (instant - NOON) / SECOND

    def _publish_early(self, rows: Sequence[Any]) -> None:
        """A way to the bus that the product's write path does not have, for the race that uses one."""
        for _, n, event_id, tenant_id, kind, key, payload in rows:
            event = Event(event_id, kind, tenant_id, key, 0, n, 0, json.loads(payload))
            self.loop.outside(self._accept(event))

    async def _accept(self, event: Event) -> None:
        with contextlib.suppress(ConnectionError, BusChanged):
            await self.post.accept(event)

    def seconds_from_now(self, machine: Machine, seconds: float) -> int:
        """What the process's wall clock will show by then."""
        return machine.clock.now() + int(seconds * SECOND)

    # -- the story ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The whole of it."""
        await self._open_shop()
        self.faults.draw()
        for n in range(self.random.choice((1, 2, 2, 3))):
            if n == 0 or self.decisions.takes("process", n):
                await self.start_machine()
        self._begin(self.luck.go_on(), self._seal())
        if "stops" in self.parts:
            for number in range(2 if "more stops" in self.parts else 1):
                self._begin(guards.Guard(self, number).go_on())
        if "locks" in self.parts:
            self._begin(self.keepers.watch())
        if "orders" in self.parts:
            self._begin(outside.Advertiser(self).go_on())
        many = range(self.random.choice((4, 8, 12)))
        customers = [
            self.loop.create_task(Customer(self).go_on()) for n in many if n == 0 or self.decisions.takes("customer", n)
        ]
        others = self.parts & {"leases", "locks", "handlers", "orders"}
        until = self.loop.time() + (self.random.choice((0.0, 5.0, 15.0)) if others else 0.0)

        def all_done() -> bool:
            return self.loop.time() >= until and all(task.done() for task in customers)

        await self._until(all_done, heal_after=LONGEST_STORY / 3)
        for task in customers:
            if task.done() and task.exception() is not None:
                await task
        await self._end_well()

    async def _open_shop(self) -> None:
        machine = await self.start_machine(alone=True)
        outcomes = await machine.ctx.submit_all(furnishing(machine.ctx))
        assert {verdict(outcome) for outcome in outcomes} == {OK}, outcomes

        def query(connection: TenantConnection) -> tuple[dict[str, str], dict[str, str]]:
            found = select(products.c.id, products.c.sku).where(products.c.tenant_id == connection.tenant_id)
            places = {one.id: one.code for one in catalog.read_locations(connection).values()}
            return places, {row.id: row.sku for row in connection.execute(found).all()}

        self.truth.codes, self.truth.skus = await machine.ctx.read(query)
        self.places = {code: place for place, code in self.truth.codes.items()}
        if "orders" in self.parts:
            await self.platform.install(machine)
        if self.parts & {"stages", "two people"}:
            await guards.choose_policy(machine, takes_two="two people" in self.parts)
        await machine.leave()
        self.machines.remove(machine)

    async def start_machine(self, *, alone: bool = False) -> Machine:
        self._lives += 1
        name = f"p{self._lives}"
        machine = Machine(name, self.server, Random(f"{self.seed}/{name}"), TENANT)
        self.machines.append(machine)
        while not machine.ready:
            start = machine.spawn(machine.start(self.post))
            await asyncio.wait([start], timeout=30)
            if not machine.ready:
                start.cancel()
                await asyncio.wait([start])
                error = None if start.cancelled() else start.exception()
                if error is not None and not isinstance(error, DBAPIError | OSError | TimeoutError):
                    raise error
                await asyncio.sleep(0.5)
        if not alone:
            self._employ(machine)
        return machine

    def _employ(self, machine: Machine) -> None:
        """Begins what goes on in every process."""
        observing.observe(machine, machine.box)
        periodics = [Periodic("sweep_holds", "jobs", 0.7, stock.sweep_holds)]
        if "stops" in self.parts:
            periodics.append(Periodic("safety.advance", "scheduler", 0.5, safety.advance))
        for periodic in periodics:
            runner = PeriodicRunner(PacedWork(periodic), machine.in_lane(Lane.JOBS), machine.name)
            machine.spawn(runner.run(asyncio.Event()))
        for number in range(2):
            if "leases" in self.parts:
                machine.spawn(TurnTaker(self, machine, number).go_on())
            if "locks" in self.parts:
                machine.spawn(locksmiths.Locksmith(self, machine, number).go_on())
        if "handlers" in self.parts:
            following.begin(self, machine)
        if "orders" in self.parts:
            outside.begin(self, machine)

    def _begin(self, *works: Any) -> None:
        self._world_tasks += [self.loop.create_task(work) for work in works]

    async def _until(self, done: Any, heal_after: float) -> None:
        """Lets the story go on until something is so or breaks; after a while without further faults."""
        began = self.loop.time()
        while not done() and self.truth.failure is None:
            await asyncio.sleep(0.05)
            for task in self._world_tasks:
                if task.done():
                    await task  # none of them ends but by a mistake of the simulation's own
            lasted = self.loop.time() - began
            if lasted > heal_after:
                self.faults.heal()
            if lasted > LONGEST_STORY:
                self.truth.fail(ENDS, f"after {lasted:.0f} s somebody still waits")
        if self.truth.failure is not None:
            raise self.truth.failure

    async def _seal(self) -> None:
        """A sealer in whichever process is there."""
        sealer = ledger.make_sealer(self._sealing())
        while True:
            await asyncio.sleep(2)
            machine = self.any_machine(self.random)
            if machine is not None:
                await asyncio.wait([machine.spawn(sealer.run(machine.ctx))], timeout=20)

    def _sealing(self) -> Sealing:
        return Sealing(ledger.make_signer(self._key), self.path.with_suffix(".heads"), 2.0)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _end_well(self) -> None:
        """No more faults; what was promised must come true, and is looked at as a whole."""
        self.faults.heal()
        for machine in self.machines:
            machine.stalled_until = 0.0
        await self._until(lambda: self._stops_open == 0 and any(one.ready for one in self.machines), heal_after=0)
        for task in self._world_tasks:
            task.cancel()
        self._world_tasks.clear()
        machine = self.any_machine(self.random) or await self.start_machine()
        quiet = self.loop.time()

        def all_seen() -> bool:
            if self.loop.time() < quiet + 1 or not observing.all_seen(self.path) or not self.post.is_empty:
                return False
            return "handlers" not in self.parts or following.all_followed(self.path)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                await self._until(all_seen, heal_after=0)
        self.truth.check_effects()
        if "handlers" in self.parts:
            wrong, key = following.judge(self.truth.raw, self.truth.facts())
            if wrong:
                self.truth.fail(FOLLOWED, wrong)
            if key:
                self.truth.fail(FOLLOWED_IN_ORDER, f"the events of {key} had their effects in another order")
        self.platform.check_confirmed(self.truth.raw)
        heads = self.path.with_suffix(".heads")
        await asyncio.wait([machine.spawn(ledger.make_sealer(self._sealing()).run(machine.ctx))], timeout=60)
        await self._judge_the_whole(machine, heads)

    async def _judge_the_whole(self, machine: Machine, heads: Path) -> None:
        def query(connection: Connection) -> Any:
            compare(TenantConnection(connection, TENANT), self.truth.shop)
            return ledger.verify(connection, ledger.read_heads(heads))

        task = machine.spawn(machine.database.read(query))
        await asyncio.wait([task])
        error = task.exception()
        if isinstance(error, AssertionError):
            self.truth.fail(SOUND, str(error)[:500])
        elif error is not None:
            raise error
        elif not task.result().verified:
            self.truth.fail(SEALED, str(task.result().findings[:1]))
        unanswered = [key for key in self.truth.deeds if key not in self.truth.heard]
        if unanswered:
            self.truth.fail(ENDS, f"{unanswered} were never answered")
        if self.truth.failure is not None:
            raise self.truth.failure

    def story(self) -> Story:
        """What came of it."""
        trace = self.loop.trace
        return Story(
            seed=self.seed,
            failure=self.truth.failure,
            trace_hash=trace.hash,
            steps=trace.steps,
            judged=self.truth.judged,
            virtual_seconds=self.loop.time(),
            faults=dict(sorted(self.faults.happened.items())),
            trace=tuple(trace.lines),
            taken=tuple(self.decisions.taken),
        )

    def close(self) -> None:
        """Drops everything, whatever still waits."""
        for machine in self.machines:
            machine.dead = True
        self.loop.abandon()
        self.truth.close()
        self.server.end()
        for path in self.path.parent.glob(f"{self.path.stem}.*"):
            path.unlink()
