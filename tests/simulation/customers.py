"""Who uses the shop: customers that do not give up, tills that take turns at a lease."""

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from nervio.db import leases
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from tests.deeds import draw_deed
from tests.oracle import DEPOSIT, MAIN, Deed, Document, Place, Sale, Settle, Shop
from tests.performing import command_of
from tests.simulation.machine import MOST_SKEW_SECONDS, Machine
from tests.simulation.truth import NO_BUGS, NOT_STOPPED, ONE_HOLDER

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE_SECONDS = 12.0
HOT = ("BREAD", "TEA")
LEASE = "simulation:counting"
LEASE_SECONDS = 3.0
PASSING = {Kind.UNAVAILABLE, Kind.TOO_MANY}
LANES = (Lane.TILL, Lane.TILL, Lane.BULK, Lane.JOBS)


def draw(random: Random, shop: Shop, name: str) -> Deed:
    """A deed. Most are about the same few units of two products, where races are; the rest are of every kind."""
    if random.random() < 0.25:
        return draw_deed(random, shop, name)
    place, sku = random.choice((MAIN, MAIN, MAIN, DEPOSIT)), random.choice(HOT)
    free = max(shop.on_hand[place, sku] - shop.reserved(place, sku), 0)
    active = [known for known, hold in shop.holds.items() if hold.state == "active"]
    match random.choice(("sale", "sale", "hold", "hold", "settle", "settle", "settle", "receipt", "both", "both")):
        case "settle" if active:
            return Settle(random.choice(active[-2:]), random.choice(("claim", "claim", "release")))
        case "sale" if free:
            return Sale(name, place, _around(random, sku, free))
        case "hold" if free:
            return Place(name, place, _around(random, sku, free), random.choice((1, 2, 5, 60)))
        case "both":
            lines = tuple((one, random.choice((500, 1000, 2000))) for one in random.sample(HOT, 2))
            return random.choice((Sale(name, place, lines), Place(name, place, lines, 5)))
    units = random.choice((1000, 1000, 2000, 3000))
    received = tuple((one, units, "", None) for one in random.sample(HOT, random.choice((1, 2))))
    return Document("receipt", place, received)


def _around(random: Random, sku: str, free: int) -> tuple[tuple[str, int], ...]:
    """Lines that ask for all there is, a part of it, or a little more; sometimes in two lines of the same product."""
    wanted = random.choice((free, free, max(free // 2, 1), free + 1000))
    if wanted > 1 and random.random() < 0.3:
        first = max(wanted // 2, 1)
        return ((sku, first), (sku, wanted - first))
    return ((sku, wanted),)


class Customer:
    """Does deeds, one after the other, each until it has an answer."""

    def __init__(self, world: "World") -> None:
        self.world, self.random = world, Random(0)

    async def go_on(self) -> None:
        """Until enough deeds were made."""
        world = self.world
        while (n := world.next_deed()) is not None:
            self.random = Random(f"{world.seed}/deed {n}")
            if not world.decisions.takes("deed", n):
                continue
            deed = draw(self.random, world.truth.shop, f"n{n}")
            if getattr(deed, "name", None) in world.truth.shop.holds and deed.name not in world.truth.hold_ids:  # type: ignore[union-attr]
                continue
            await asyncio.sleep(self.random.random() * world.pace)
            key = f"key-{n}"
            world.truth.deeds[key] = deed
            for _ in range(2 if self.random.random() < 0.1 else 1):
                await self._insist(key, deed)

    async def _insist(self, key: str, deed: Deed) -> None:
        world = self.world
        while True:
            machine = world.any_machine(self.random)
            if machine is not None and (outcome := await self._ask(machine, key, deed)) is not None:
                world.truth.hear(key, outcome)
                return
            await asyncio.sleep(self.random.random() * 0.2)

    async def _ask(self, machine: Machine, key: str, deed: Deed) -> object:
        """One request; None where the customer learned nothing."""
        world, faults = self.world, self.world.faults
        await world.loop.pause(f"{key} → {machine.name}")
        if machine.dead or faults.strikes("request_lost"):
            return None
        began = world.loop.time()
        ctx = machine.in_lane(self.random.choice(LANES))
        task = machine.spawn(_submit(ctx, deed, key, world.truth.hold_ids))
        patience = self.random.random() * 0.01 if faults.strikes("caller_gives_up") else PATIENCE_SECONDS
        await asyncio.wait([task], timeout=patience)
        if not task.done():
            task.cancel()
            return None
        if task.cancelled() or faults.strikes("answer_lost"):
            return None
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, Exception) or machine.dead:
            return None
        if not isinstance(error, NervioError):
            world.truth.fail(NO_BUGS, f"{deed}: {type(error).__name__}: {error}")
            return None
        if error.kind is Kind.HALTED and not world.was_stopped_since(began):
            world.truth.fail(NOT_STOPPED, f"{deed} was refused: {error}")
        return None if error.kind in PASSING or error.kind is Kind.HALTED else error


async def _submit(ctx: Ctx, deed: Deed, key: str, hold_ids: dict[str, str]) -> Any:
    return await ctx.database.submit(command_of(ctx, deed, key, hold_ids))


class TurnTaker:
    """Takes the lease, works a while, lets it go: in every process at once."""

    def __init__(self, world: "World", machine: Machine, number: int) -> None:
        self.world, self.machine = world, machine
        self.name = f"{machine.name}.{number}"

    async def go_on(self) -> None:
        """For as long as the process lives."""
        random = Random(f"{self.world.seed}/turns {self.name}")
        while True:
            await asyncio.sleep(random.random() * 2)
            if not self.world.may("turn"):
                continue
            with contextlib.suppress(Exception):  # a lost store is no news; the lease runs out
                await self._take_turn(random)

    async def _take_turn(self, random: Random) -> None:
        machine, expires = self.machine, [0]

        def acquire(connection: Any) -> int | None:
            now = machine.clock.now()
            expires[0] = now + int(LEASE_SECONDS * SECOND)
            return leases.acquire(connection, LEASE, self.name, now, LEASE_SECONDS)

        token = await machine.database.bookkeep("lease", acquire)
        if token is None:
            return
        sure_until = self.world.seconds_of(expires[0]) - 2 * MOST_SKEW_SECONDS
        self.world.holders.took(self.name, sure_until)
        try:
            await asyncio.sleep(random.choice((0.1, 1.0, 2.0, 4.0, 6.0)))
        finally:
            self.world.holders.left(self.name)
        await machine.database.bookkeep("lease", lambda c: leases.release(c, LEASE, self.name))


class Holders:
    """Who believes to hold the lease, and until when nobody's clock can say otherwise."""

    def __init__(self, now: Callable[[], float], fail: Callable[[str, str], None]) -> None:
        self._now, self._fail = now, fail
        self._until: dict[str, float] = {}

    def took(self, name: str, sure_until: float) -> None:
        """Somebody was given the lease. One that had to wait for it until it ran out has nothing."""
        if sure_until <= self._now():
            return
        for other, until in self._until.items():
            if other != name and until > self._now():
                self._fail(
                    ONE_HOLDER, f"{name} was given the lease while {other} has it for {until - self._now():.3f} s"
                )
        self._until[name] = sure_until

    def left(self, name: str) -> None:
        """Somebody lets go, or is gone."""
        self._until.pop(name, None)

    def gone(self, machine: str) -> None:
        """A process died with all it held."""
        for name in [name for name in self._until if name.startswith(f"{machine}.")]:
            del self._until[name]
