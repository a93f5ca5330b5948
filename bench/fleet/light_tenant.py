"""How long the tasks of a tenant take that asks now and then, alone and beside one that is a thousand times noisier."""

import asyncio
import json
import random
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from bench.figures import percentile
from bench.fleet.parts import Figures, Part
from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.local import LocalWorkers
from nervio.db import migrate
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.ids import NIL, new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import SubmitTask
from nervio.modules.fleet.settings import FleetSettings
from nervio.ports.workers import Answer, Job
from nervio.runtime.commits import RingingDatabase

SLOTS = 16
TASK_SECONDS = 0.2
"""Of one task, more or less a half: a short answer of a model."""
LIGHT_PAUSE_SECONDS = 0.1
NOISE = 1000
"""How many tasks the heavy tenant has waiting for each that the light one asks for at a time."""
QUEUE_CAPACITY = 100_000


@dataclass(frozen=True)
class Waits:
    """Seconds from asking to the result, of every task of the light tenant."""

    alone: list[float]
    beside: list[float]

    def ratio(self, percent: float = 95) -> float:
        """The percentile beside the noisy tenant, to that alone."""
        return percentile(self.beside, percent) / percentile(self.alone, percent)


async def _nap(job: Job) -> Answer:
    await asyncio.sleep(job.payload["seconds"])
    return Answer(None)


async def measure(quick: bool) -> Figures:
    """Tasks of the light tenant, first alone."""
    with tempfile.TemporaryDirectory(prefix="nervio-bench-") as folder:
        waits = await _measure(Path(folder), 40 if quick else 200)
    return {"light_tenant_p95_to_alone": waits.ratio(), "light_tenant_p95_ms": 1000 * percentile(waits.beside, 95)}


async def _measure(folder: Path, tasks: int) -> Waits:
    await migrate.upgrade(f"sqlite:///{folder / 'nervio.db'}")
    inner = SQLiteDatabase(folder / "nervio.db", SystemClock(), QUEUE_CAPACITY)
    await inner.start()
    database, drafts, openings = RingingDatabase(inner), fleet.Drafts(), fleet.Openings()
    ctx = Ctx(NIL, "bench", database, SystemClock(), None, Lane.FLEET)
    worker, settings = LocalWorkers("w", {"nap": _nap}, slots=SLOTS), FleetSettings.model_validate({})
    dispatcher = fleet.Dispatcher(ctx, new_id(), [worker], settings, lambda _tenant, _module: None, drafts, openings)
    stopping = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stopping, database.queued.listener()))
    light, heavy = replace(ctx, tenant_id=new_id()), replace(ctx, tenant_id=new_id())
    draw = random.Random(1)

    async def ask() -> float:
        began = perf_counter()
        queued = await fleet.submit_task(light, _a_nap(draw), openings=openings)
        await fleet.wait_for_task(light, queued.id, 60, drafts)
        return perf_counter() - began

    await asyncio.gather(*(ask() for _ in range(SLOTS)))  # so that it is known how long they take
    alone = await _steadily(ask, tasks)
    noise = asyncio.create_task(_keep_noisy(heavy, random.Random(2)))
    await asyncio.sleep(5 * TASK_SECONDS)
    draw.seed(1)
    beside = await _steadily(ask, tasks)
    noise.cancel()
    await asyncio.wait([noise])
    stopping.set()
    dispatcher.wake()
    await running
    await inner.close()
    return Waits(alone, beside)


def _a_nap(draw: random.Random) -> SubmitTask:
    return SubmitTask("nap", json.dumps({"seconds": draw.uniform(0.5, 1.5) * TASK_SECONDS}))


async def _keep_noisy(heavy: Ctx, draw: random.Random) -> None:
    """A thousand tasks of the heavy tenant, and about as many anew as are done."""
    count = NOISE
    while True:
        await fleet.submit_tasks(heavy, [(_a_nap(draw), None) for _ in range(count)])
        await asyncio.sleep(TASK_SECONDS)
        count = SLOTS


async def _steadily(ask: Callable[[], Awaitable[float]], count: int) -> list[float]:
    """One after a while, whether those before have ended or not."""
    asked = []
    for _ in range(count):
        asked.append(asyncio.ensure_future(ask()))
        await asyncio.sleep(LIGHT_PAUSE_SECONDS)
    return list(await asyncio.gather(*asked))


PART = Part(
    name="light tenant",
    measure=measure,
    goals={"light_tenant_p95_to_alone": "<= 1.5"},
    legend="a task of 0.1 to 0.3 s every 0.1 s, 16 slots; beside a tenant that has a thousand such tasks waiting all the time",
)
