"""Jobs for tests, and runners whose rounds a test asks for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.halt import Halt
from nervio.db.jobs import Job, JobCtx, JobFailed
from nervio.kernel.ids import NIL, new_id
from nervio.kernel.quantity import UNIT
from nervio.modules.jobs import api
from nervio.modules.jobs.api import JobRunner
from nervio.modules.jobs.contracts import EnqueueJob, JobRecord, JobState
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.builders import MAIN, Store

PATIENCE_SECONDS = 20.0


@dataclass
class Workshop:
    """Handlers, and what they did and with whom."""

    begun: list[tuple[str, str, Any]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def jobs(self) -> tuple[Job, ...]:
        """What they do."""
        names = ("receive", "wait", "fail", "refuse", "odd", "count")
        return tuple(Job(f"check.{name}", getattr(self, name)) for name in names)

    def _note(self, job: JobCtx, payload: Any) -> None:
        self.begun.append((job.ctx.tenant_id, job.ctx.actor_id, payload))

    async def receive(self, job: JobCtx, payload: Any) -> int:
        """Receives one unit of a product a step: how many there are in the end says how often the steps happened. Waits for the
        gate before the step `gate_at`, and fails behind the step `fail_at`."""
        self._note(job, payload)
        total = payload["total"]
        for n in range(job.value or 0, total):
            if n == payload.get("gate_at"):
                await self.gate.wait()
            async with job.step(n + 1, done=n + 1, total=total) as ctx:
                await receive_one(ctx, payload["sku"])
            if n == payload.get("fail_at"):
                raise OSError("the line is cut")
        return int(total)

    async def count(self, job: JobCtx, payload: Any) -> Any:
        """Checkpoints without commands."""
        self._note(job, payload)
        for n in range(job.value or 0, payload):
            await job.checkpoint(n + 1, done=n + 1, total=payload)
        return job.value

    async def wait(self, job: JobCtx, payload: Any) -> str:
        """Until the gate is opened."""
        self._note(job, payload)
        await self.gate.wait()
        return "waited"

    async def fail(self, job: JobCtx, payload: Any) -> None:
        """A bug."""
        self._note(job, payload)
        raise KeyError("colour")

    async def refuse(self, job: JobCtx, payload: Any) -> None:
        """What cannot be helped."""
        self._note(job, payload)
        raise JobFailed("There is nothing to do.")

    async def odd(self, job: JobCtx, payload: Any) -> object:
        """A result that JSON cannot say."""
        self._note(job, payload)
        return object()


async def receive_one(ctx: Ctx, sku: str) -> None:
    """One unit more."""
    await stock.record_document(ctx, "receipt", StockDocument(MAIN, (StockLine(sku, UNIT),)))


def a_runner(
    store: Store,
    workshop: Workshop,
    *,
    database: Database | None = None,
    find_blocking: Callable[[str, str], Halt | None] = lambda _tenant, _module: None,
    jobs: tuple[Job, ...] | None = None,
    most_at_once: int = 4,
) -> JobRunner:
    """A runner whose rounds are the test's to ask for."""
    ctx = replace(store.ctx, tenant_id=NIL, actor_id="nervio", permissions=None)
    if database is not None:
        ctx = replace(ctx, database=database)
    kinds = workshop.jobs() if jobs is None else jobs
    return JobRunner(ctx, new_id(), kinds, find_blocking, most_at_once=most_at_once, lease_seconds=2.0)


@asynccontextmanager
async def at_work(runner: JobRunner) -> AsyncIterator[asyncio.Event]:
    """A runner that runs by itself, and the bell by which it is woken."""
    stopping, bell = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(runner.run(stopping, bell))
    try:
        yield bell
    finally:
        stopping.set()
        bell.set()
        await running


async def enqueue(store: Store, name: str, payload: Any = None, **given: Any) -> str:
    """A job of the workshop; its id."""
    return (await api.enqueue_job(store.ctx, EnqueueJob(f"check.{name}", payload, **given))).id


async def until(store: Store, job_id: str, is_so: Callable[[JobRecord], bool]) -> JobRecord:
    """The job once it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so(job := await api.get_job(store.ctx, job_id)):  # noqa: ASYNC110 (it is looked up in the store)
            await asyncio.sleep(0.005)
    return job


async def ended(store: Store, runner: JobRunner, job_id: str) -> JobRecord:
    """The job once it has ended; the runner does rounds, and time goes by, until then."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (job := await api.get_job(store.ctx, job_id)).ended_at is None:
            await runner.run_once()
            await asyncio.sleep(0.005)
            if job.state is JobState.WAITING:
                store.clock.advance(1)
    return job
