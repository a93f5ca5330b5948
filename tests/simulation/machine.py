"""One simulated process: its clock, its ids, the product's own parts in it, and its end."""

import asyncio
import contextlib
import random as process_wide
from collections.abc import Coroutine
from contextvars import copy_context
from random import Random
from typing import Any, TypeVar

from nervio.db import postgresql
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel import ids
from nervio.kernel.time import SECOND, Instant
from nervio.modules.safety.usecases.watching import HaltWatch
from nervio.runtime.relay import Relay, follow
from tests.builders import NOON
from tests.simulation.driving import SimulatedEngine
from tests.simulation.post import Box, Post
from tests.simulation.seeded import ACTOR, SeededLoop
from tests.simulation.server import SimulatedServer

T = TypeVar("T")

QUEUE_CAPACITY = 10_000
MOST_SKEW_SECONDS = 0.3


class SimulatedClock:
    """A machine's clocks: the wall is off by a skew and may be set, the monotonic one began somewhere and never steps."""

    def __init__(self, loop: SeededLoop, random: Random) -> None:
        self._loop = loop
        self._began = random.random() * 1000
        self.skew = 0.0

    def now(self) -> Instant:
        """Microseconds since the epoch, UTC, as this machine believes."""
        return NOON + int((self._loop.time() + self.skew) * SECOND)

    def monotonic(self) -> float:
        """Seconds."""
        return self._loop.time() + self._began


class SeededIds:
    """Ids of the product's form, from the seed and the clock of whoever asks."""

    def __init__(self, random: Random, loop: SeededLoop) -> None:
        self._random, self._loop = random, loop
        self._last: dict[str, int] = {}

    def make(self, count: int) -> list[str]:
        """`count` ids, greater than all that this process made before."""
        actor = ACTOR.get()
        now = actor.clock.now() if hasattr(actor, "clock") else NOON + int(self._loop.time() * SECOND)
        tick = max(self._last.get(actor.name, 0) + 1, now // 1000 << 12)
        self._last[actor.name] = tick + count - 1
        return [self._format(value) for value in range(tick, tick + count)]

    def _format(self, value: int) -> str:
        millisecond = f"{value >> 12:012x}"
        tail = f"{self._random.getrandbits(60):015x}"
        return f"{millisecond[:8]}-{millisecond[8:]}-7{value & 0xFFF:03x}-8{tail[:3]}-{tail[3:]}"

    def forget_random(self) -> None:
        """Nothing to forget: nobody forks here."""


class Machine:
    """A process between its start and its death; the next life is another Machine."""

    def __init__(self, name: str, server: SimulatedServer, random: Random, tenant_id: str) -> None:
        self.name, self.server = name, server
        self.stalled_until = 0.0
        self.dead = False
        self.ready = False
        self.clock = SimulatedClock(server.loop, random)
        self.clock.skew = random.uniform(-MOST_SKEW_SECONDS, MOST_SKEW_SECONDS)
        self._tenant_id = tenant_id
        self._stopping = asyncio.Event()
        self.database: PostgreSQLDatabase
        self.ctx: Ctx
        self.watch: HaltWatch
        self.box: Box

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process, which dies with it."""
        context = copy_context()
        context.run(ACTOR.set, self)
        return self.server.loop.create_task(work, context=context)

    async def start(self, post: Post) -> None:
        """Opens the store and begins every piece of work that a process does by itself."""
        self.database = PostgreSQLDatabase("simulated", self.clock, QUEUE_CAPACITY)
        await self.database.start()
        self.ctx = Ctx(self._tenant_id, self.name, self.database, self.clock)
        self.watch = HaltWatch(self.database, self.clock)
        await self.watch.start()
        self.box = Box(post)
        self._relay = Relay(self.database, self.box, self.clock, self.name)
        self._relaying = self.spawn(follow("relay", self._relay.run_once, asyncio.Event(), 0.5, self._stopping))
        self.ready = True

    def in_lane(self, lane: Lane) -> Ctx:
        """The context of work that waits in another lane."""
        return Ctx(self._tenant_id, self.name, self.database, self.clock, lane=lane)

    async def leave(self) -> None:
        """The end, as an orderly stop makes it as far as others would have to wait: what it leads is let go."""
        self._stopping.set()
        await asyncio.wait([self._relaying])
        await asyncio.wait([self.spawn(self._relay.close())])
        await self.die()

    async def die(self) -> None:
        """The end, as a kill makes it: from here on nothing this process does reaches anybody."""
        self.dead, self.ready = True, False
        self.stalled_until = 0.0
        self.server.loop.tell(f"{self.name} dies")
        self.server.lose_process(self)
        while left := [task for owner, task in self.server.loop.tasks if owner is self and not task.done()]:
            for task in left:
                task.cancel()
            with contextlib.suppress(BaseException):
                await asyncio.wait(left, timeout=0.001)


def take_over(loop: SeededLoop, server: SimulatedServer, random: Random) -> None:
    """Puts the simulation where the product would look for a server and for randomness. Once a process of the tests."""
    of_product: Any = postgresql
    of_product.create_async_engine = lambda *_, **__: SimulatedEngine(server)
    process_wide.seed(random.random())  # pauses that are spread, for which nobody passes a Random around
    generator: Any = SeededIds(random, loop)
    ids._generator = generator
