"""Thousands of tasks while workers, the master and the broker are killed: what is lost, and what counts twice."""

import asyncio
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bench.fleet.parts import Figures, Part
from bench.fleet.processes import a_broker, a_program
from bench.stock.contender import UnavailableError
from nervio.db.context import Ctx
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import SubmitTask, Task, TaskState
from nervio.modules.fleet.models import fleet_attempts
from tests.conformance.fleets import WorkerProcess, a_living_store, a_prefix, a_worker
from tests.mosquitto import OwnMosquitto
from tests.runtime.test_two_processes import a_port

TASKS, QUICK_TASKS = 5_000, 300
WORKERS = ("a", "b", "c")
SLOTS = 8
KILL_SECONDS = 1.0
"""A worker is killed so often."""
BROKER_AWAY_SECONDS = 0.5
MASTER_AT, BROKER_AT = (1 / 3, 2 / 3), (1 / 2,)
"""How much is done when they are killed."""
PATIENCE_SECONDS = 60.0
"""When nothing more was done for so long, what is not done is lost."""
AT_ONCE = 500
RETRIES = 20


class Storm:
    """The processes, killed and started again."""

    def __init__(self, folder: Path, broker: OwnMosquitto, stack: AsyncExitStack) -> None:
        self._folder, self._broker, self._stack = folder, broker, stack
        self._prefix, self._url, self._chance = a_prefix(), f"mqtt://127.0.0.1:{broker.port}", random.Random(5)
        database = str(folder / "nervio.db")
        self._master_line = ("bench.fleet.storm_master", database, str(broker.port), self._prefix, str(a_port()))
        self._workers: dict[str, WorkerProcess] = {}
        self._master: asyncio.subprocess.Process | None = None
        self.kills: Counter[str] = Counter()

    async def start(self) -> None:
        """A master and its workers."""
        await self._start_master()
        for name in WORKERS:
            await self._start_worker(name)

    async def rage(self, ctx: Ctx, tasks: int) -> None:
        """Until all is done, or patience is over."""
        masters, brokers = list(MASTER_AT), list(BROKER_AT)
        kill_at, patient_until, before = time.monotonic() + KILL_SECONDS, math.inf, -1
        while (done := await count_done(ctx)) < tasks and time.monotonic() < patient_until:
            if done > before:
                before, patient_until = done, time.monotonic() + PATIENCE_SECONDS
            assert self._master is not None
            if self._master.returncode is not None:
                raise RuntimeError("the master ended by itself")
            if time.monotonic() >= kill_at:
                kill_at = time.monotonic() + KILL_SECONDS
                await self._kill_worker(self._chance.choice(WORKERS))
            if masters and done >= masters[0] * tasks:
                masters.pop(0)
                await self._kill_master()
            if brokers and done >= brokers[0] * tasks:
                brokers.pop(0)
                await self._kill_broker()
            await asyncio.sleep(0.05)

    async def _start_master(self) -> None:
        self._master = await self._stack.enter_async_context(a_program("-m", *self._master_line, speaks=True))
        assert self._master.stdout is not None
        if await asyncio.wait_for(self._master.stdout.readline(), 60) != b"working\n":
            raise RuntimeError("the master did not start")

    async def _start_worker(self, name: str) -> None:
        options = ("--slots", str(SLOTS), "--log", "error")
        worker = a_worker(self._folder, self._url, self._prefix, *options, worker_id=name)
        self._workers[name] = await self._stack.enter_async_context(worker)

    async def _kill_worker(self, name: str) -> None:
        self.kills["worker"] += 1
        self._workers[name].kill()
        await self._workers[name].process.wait()
        await self._start_worker(name)

    async def _kill_master(self) -> None:
        self.kills["master"] += 1
        await self.end_master()
        await self._start_master()

    async def end_master(self) -> None:
        """Ends it at once."""
        if self._master is not None and self._master.returncode is None:
            self._master.kill()
            await self._master.wait()

    async def _kill_broker(self) -> None:
        self.kills["broker"] += 1
        await asyncio.to_thread(self._broker.kill)
        await asyncio.sleep(BROKER_AWAY_SECONDS)
        await asyncio.to_thread(self._broker.start)


async def count_done(ctx: Ctx) -> int:
    """Tasks that are done, by the tenant's sums."""
    return sum(one.done for one in await api.read_usage(ctx, "2000-01-01", "2100-01-01"))


async def queue(ctx: Ctx, tasks: int) -> None:
    """Tasks that are each to say a number of their own, and take 50 to 140 milliseconds."""
    payloads = [json.dumps({"echo": n, "sleep_seconds": 0.05 + 0.01 * (n % 10)}) for n in range(tasks)]
    for begin in range(0, tasks, AT_ONCE):
        part = [(SubmitTask("check", payload, retries=RETRIES), None) for payload in payloads[begin : begin + AT_ONCE]]
        failures = [one for one in await api.submit_tasks(ctx, part) if isinstance(one, BaseException)]
        if failures:
            raise failures[0]


async def list_all(ctx: Ctx) -> list[Task]:
    """Every task with its result."""
    found: list[Task] = []
    while page := await api.list_tasks(ctx, before=(found[-1].created_at, found[-1].id) if found else None, limit=500):
        found += page
    return found


async def count_endings(ctx: Ctx) -> dict[tuple[str, str], int]:
    """How many attempts at a task ended in which way: (task, ending) → count."""
    columns = fleet_attempts.c.task_id, fleet_attempts.c.ending
    counted = select(*columns, func.count()).group_by(*columns)
    rows = await ctx.database.read(lambda c: c.execute(counted).all())
    return {(row[0], row[1]): row[2] for row in rows}


def judge(tasks: int, found: Sequence[Task], endings: Mapping[tuple[str, str], int], counted: int) -> dict[str, float]:
    """What came of so many tasks: `found` in the store, with the `endings` of their attempts, and `counted` as done by the sums.

    A task that is not done with its own result is lost; a second result that was taken or counted is one too many.
    """
    right = {one.id for one in found if one.state is TaskState.DONE and one.result == one.payload["echo"]}
    taken = {task_id: count for (task_id, ending), count in endings.items() if ending == "done"}
    twice = sum(count - 1 for count in taken.values())
    return {
        "storm_results": len(right),
        "storm_lost": tasks - len(right),
        "storm_double": max(twice, counted - tasks, 0),
        "storm_cut_attempts": sum(count for (_, ending), count in endings.items() if ending != "done"),
    }


def broken(figures: Figures) -> list[str]:
    """The promises that a storm may not break."""
    sentences = []
    if figures["storm_lost"] > 0:
        sentences.append(f"{figures['storm_lost']:.0f} tasks of a storm did not come to their own result")
    if figures["storm_double"] > 0:
        sentences.append(f"{figures['storm_double']:.0f} results of a storm counted twice")
    return sentences


async def measure(quick: bool) -> Figures:
    """One storm."""
    tasks = QUICK_TASKS if quick else TASKS
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nervio-bench-")))
        broker = stack.enter_context(a_broker(folder, a_port()))
        store = await stack.enter_async_context(a_living_store(folder))
        await queue(store.ctx, tasks)
        storm = Storm(folder, broker, stack)
        started = time.perf_counter()
        try:
            await storm.start()
            await storm.rage(store.ctx, tasks)
        finally:
            await storm.end_master()
        seconds = time.perf_counter() - started
        found = judge(tasks, await list_all(store.ctx), await count_endings(store.ctx), await count_done(store.ctx))
    if not found["storm_cut_attempts"]:
        raise UnavailableError("no kill met a task that was under way: it proves nothing")
    kills: dict[str, Any] = {f"storm_{name}_kills": float(count) for name, count in storm.kills.items()}
    return {**found, "storm_seconds": seconds, **kills}


PART = Part(
    name="storm",
    measure=measure,
    goals={"storm_lost": "<= 0", "storm_double": "<= 0"},
    legend=f"{TASKS:,} tasks of 50 to 140 ms (quick: {QUICK_TASKS}) on SQLite for {len(WORKERS)} workers; once a second one of them is killed with "
    "-9, the master twice, the broker once, all started again. A result counts where it is its own task's",
    worst=frozenset({"storm_lost", "storm_double"}),
    broken=broken,
)
