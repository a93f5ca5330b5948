"""Who stops the shop and lets it go on: for a time or latched, at once or in stages, alone or with a second person."""

import asyncio
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from nervio.kernel.errors import NervioError
from nervio.kernel.time import SECOND
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import policies
from nervio.modules.safety.contracts.halts import Frozen, Pending, Scope, Settled, Stages, Thawed
from tests.oracle import DEPOSIT, MAIN
from tests.simulation.machine import Machine
from tests.simulation.model_stop import LEVELS, ModelStop

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE_SECONDS = 12.0
MODULES: tuple[tuple[str | None, ...], ...] = ((None, None, "stock", "sales"), ("ledger", "catalog"))
"""What each guard stops, so that none lets go of another's stop."""
STAGE_SECONDS = 1
ANN, BOB = "ann", "bob"


async def choose_policy(machine: Machine, *, takes_two: bool) -> None:
    """How the shop and the installation thaw: in short stages, and with two people where the story says so."""
    for scope in (Scope.TENANT, Scope.INSTALLATION):
        saved = await policies.save_policy(
            _person(machine, ANN),
            scope,
            two_person_thaw=takes_two,
            thaw_stage_seconds=STAGE_SECONDS,
            thaw_jitter_seconds=1,
            confirm_within_seconds=30,
        )
        assert not isinstance(saved, Pending)


def _person(machine: Machine, name: str) -> Any:
    return replace(machine.ctx, actor_id=name, is_person=True)


class Guard:
    """Stops a part of the shop or all of it, waits, and lets it go on."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.random = Random(f"{world.seed}/guard {number}")

    async def go_on(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self.random.random() * 3)
            if self.world.may("stop"):
                await self._stop_for_a_while()

    async def _stop_for_a_while(self) -> None:
        world, random, parts = self.world, self.random, self.world.parts
        place = random.choice((None, None, MAIN, DEPOSIT))
        scope = random.choice((Scope.INSTALLATION, Scope.TENANT)) if place is None else Scope.TENANT
        stop = ModelStop(random.choice(MODULES[self.number]), place, random.choice(LEVELS))
        stop.takes_two = "two people" in parts
        staged = "stages" in parts and random.random() < 0.7
        stop.stage_seconds = STAGE_SECONDS if staged else None
        seconds = random.choice((1.0, 1.5, 2.5)) if "expiry" in parts and random.random() < 0.7 else None
        waits = random.random() * 2
        machine = world.any_machine(self.random)
        if machine is None:
            return
        where = {"scope": scope, "module": stop.module, "location_id": world.places.get(place or "")}
        world.begin_stop()
        freezing = safety.freeze(machine.ctx, "simulation", **where, level=stop.level, for_seconds=seconds)  # type: ignore[arg-type]
        answer = await self._answer(machine, freezing)
        if isinstance(answer, Frozen):
            if answer.halt.expires_at is not None:
                stop.ends_at = world.seconds_of(answer.halt.expires_at)
            world.loop.tell(f"stopped: {stop}")
            world.truth.stops[answer.halt.id] = stop
            if stop.ends_at is not None:
                # One of the installation runs out shop by shop. From then on nobody may be refused.
                over_at = stop.ends_at + (answer.halt.spread_us or 0) / SECOND
                await asyncio.sleep(max(over_at - world.loop.time(), 0.0))
                world.end_stop()
                await self._gone(where)
                return
            await asyncio.sleep(waits)
        await self._let_go(where, stop)
        world.end_stop()

    async def _let_go(self, where: dict[str, Any], stop: ModelStop) -> None:
        stages = Stages.NONE if stop.stage_seconds is None else Stages.POLICY
        is_tried = False  # one that was not acknowledged may still be on its way, and thawing waits for it
        while not is_tried or self._is_there(where):
            machine = self.world.any_machine(self.random)
            if machine is not None:
                asker = self.random.choice((ANN, BOB))
                self._says(stop, asker)
                thawing = safety.unfreeze(
                    _person(machine, asker), "simulation", **where, level=stop.level, stages=stages
                )
                answer = await self._answer(machine, thawing)
                if isinstance(answer, Thawed):
                    is_tried = True
                    for request in answer.requested:
                        await self._confirm(request.id, asker, stop)
            await asyncio.sleep(0.3)
            await self._gone(where, 5.0)

    async def _confirm(self, request_id: str, asker: str, stop: ModelStop) -> None:
        """Until somebody else has. Sometimes whoever asked tries to be both."""
        other = BOB if asker == ANN else ANN
        while True:
            machine = self.world.any_machine(self.random)
            if machine is None:
                await asyncio.sleep(0.3)
                continue
            person = asker if self.random.random() < 0.4 else other
            self._says(stop, person)
            settling = policies.settle(_person(machine, person), request_id, "simulation", confirms=True)
            answer = await self._answer(machine, settling)
            if isinstance(answer, Settled) or (isinstance(answer, NervioError) and answer.code in _OVER):
                return
            await asyncio.sleep(0.1)

    def _says(self, stop: ModelStop, person: str) -> None:
        stop.let_go(person, self.world.loop.time())

    async def _answer(self, machine: Machine, work: Any) -> object:
        """What came of it, an error too; None where nobody knows."""
        task = machine.spawn(work)
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not task.done() or task.cancelled():
            return None
        return task.exception() or task.result()

    async def _gone(self, where: dict[str, Any], seconds: float = float("inf")) -> None:
        """Waits until it is booked that the stop is over."""
        until = self.world.loop.time() + seconds
        while self._is_there(where) and self.world.loop.time() < until:  # noqa: ASYNC110 (another process books it)
            await asyncio.sleep(0.3)

    def _is_there(self, where: dict[str, Any]) -> bool:
        tenant = None if where["scope"] is Scope.INSTALLATION else self.world.tenant_id
        return self.world.truth.is_stopped(tenant, where["module"], where["location_id"])


_OVER = ("request_settled", "request_lapsed", "not_found")
