"""Bad luck that strikes a process, a cable, the bus or the platform as a whole."""

import asyncio
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.machine import MOST_SKEW_SECONDS, Machine

if TYPE_CHECKING:
    from tests.simulation.world import World


class BadLuck:
    """Strikes now and then."""

    def __init__(self, world: "World") -> None:
        self.world = world

    async def go_on(self) -> None:
        """For ever."""
        world = self.world
        random = Random(f"{world.seed}/blows")
        while True:
            await asyncio.sleep(0.1 + random.expovariate(0.7))
            blow = Random(random.random())
            if world.faults.weight and world.decisions.happens("blow"):
                await self._strike(blow)

    async def _strike(self, random: Random) -> None:
        world = self.world
        machine = world.any_machine(random)
        blows = ["crash", "crash", "stall", "clock", "cable", "bus"]
        if "orders" in world.parts:
            blows.append("platform")
        match random.choice(blows):
            case "crash" if machine is not None:
                world.faults.happened["crash"] += 1
                await self.crash(machine, random)
            case "stall" if machine is not None:
                world.faults.happened["stall"] += 1
                machine.stalled_until = world.loop.time() + random.choice((0.3, 2.0, 8.0))
                world.loop.tell(f"{machine.name} stalls")
            case "clock" if machine is not None:
                world.faults.happened["clock"] += 1
                machine.clock.skew = random.uniform(-MOST_SKEW_SECONDS, MOST_SKEW_SECONDS)
                world.loop.tell(f"{machine.name} sets its clock")
            case "cable" if world.server.sessions:
                world.faults.happened["cable"] += 1
                world.server.kill(random.choice(list(world.server.sessions.values())))
            case "platform":
                world.faults.happened["platform"] += 1
                world.platform.away_until = world.loop.time() + random.random() * 8
            case "bus":
                world.faults.happened["bus"] += 1
                world.post.down_until = world.loop.time() + random.random() * 3

    async def crash(self, machine: Machine, random: Random) -> None:
        """Kills a process; another life of it begins a while later."""
        world = self.world
        if machine not in world.machines or not machine.ready:
            return
        await machine.die()
        world.machines.remove(machine)
        world.holders.gone(machine.name)
        await asyncio.sleep(random.random() * 2)
        await world.start_machine()
