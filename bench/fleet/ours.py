"""Ours as a process that the bench speaks with: a master with a store of its own, and workers in the same process, or in others
where a broker is named.

python -m bench.fleet.ours FOLDER_OR_POSTGRES_URL [BROKER_PORT]
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.fleet.speaking import BODY
from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.grpc import GrpcAddress
from nervio.adapters.workers.local import LocalWorkers
from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.adapters.workers.mqtt_session import Broker
from nervio.db import migrate
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.ids import new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import SubmitTask
from nervio.modules.fleet.settings import FleetSettings
from nervio.ports.workers import Answer, Job, WorkerTransport
from nervio.runtime.commits import RingingDatabase
from nervio.runtime.settings import normalised_database_url
from nervio.runtime.wiring import settle_memory

QUEUE_CAPACITY = 100_000
AT_ONCE = 500
"""Tasks of one call of the batch api."""
SLOTS = 1024
PREFIX = "bench/workers"
TASK = SubmitTask("echo", json.dumps({"body": BODY}))
PART = "twenty characters 20"


async def _echo(job: Job) -> Answer:
    return Answer(job.payload["body"])


async def _stream(job: Job) -> Answer:
    for _ in range(job.payload["parts"]):
        job.emit(job.payload["text"])
        # As the parts of a model come: with others served in between.
        await asyncio.sleep(0)
    return Answer(job.payload["text"] * job.payload["parts"])


class Master:
    """What the bench asks for, done through the api."""

    def __init__(self, ctx: Ctx, drafts: fleet.Drafts, openings: fleet.Openings) -> None:
        self._ctx, self._drafts, self._openings = ctx, drafts, openings

    async def burst(self, tasks: int) -> dict[str, Any]:
        """Queues tasks through the batch api and waits until all are done."""
        wanted = await self._done() + tasks
        started = time.perf_counter()
        for begin in range(0, tasks, AT_ONCE):
            batch = [(TASK, None)] * min(AT_ONCE, tasks - begin)
            outcomes = await fleet.submit_tasks(self._ctx, batch, self._openings)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            assert not failures, failures[0]
        queued = time.perf_counter()
        while await self._done() < wanted:  # noqa: ASYNC110 (it asks the store, as the peers' clients do)
            await asyncio.sleep(0.002)
        return {"seconds": time.perf_counter() - started, "queued_seconds": queued - started}

    async def trips(self, count: int) -> dict[str, Any]:
        """Queues one task after another and waits for the result of each."""
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            queued = await fleet.submit_task(self._ctx, TASK, openings=self._openings)
            task, _ = await fleet.wait_for_task(self._ctx, queued.id, 30, self._drafts)
            assert task.result == BODY
            taken.append(1000 * (time.perf_counter() - started))
        return {"trips_ms": taken}

    async def stream(self, parts: int) -> dict[str, Any]:
        """Has an answer made in so many parts and follows it until it has ended, as whoever reads `…/stream` does: the parts as
        they come, and of what is not there when the task ends the rest from its result."""
        started = time.perf_counter()
        task = SubmitTask("stream", json.dumps({"parts": parts, "text": PART}))
        queued = await fleet.submit_task(self._ctx, task, openings=self._openings)
        followed, is_whole, first = "", True, 0.0
        async for part in fleet.follow_answer(self._ctx, self._drafts, queued.id):
            if part is not None:
                is_whole &= part.start == len(followed)
                followed += part.text
                first = first or time.perf_counter()
        ended, _ = await fleet.get_task(self._ctx, queued.id)
        seconds = time.perf_counter() - started
        is_whole &= ended.result == PART * parts and ended.result.startswith(followed)
        first_ms = 1000 * ((first or time.perf_counter()) - started)
        return {"seconds": seconds, "followed": len(followed), "is_whole": is_whole, "first_ms": first_ms}

    async def _done(self) -> int:
        return sum(one.done for one in await fleet.read_usage(self._ctx, "2000-01-01", "2100-01-01"))


def _workers(broker_port: int | None) -> WorkerTransport:
    if broker_port is None:
        return LocalWorkers("local", {"echo": _echo, "stream": _stream}, slots=SLOTS)
    return RemoteWorkers(Broker("127.0.0.1", broker_port), PREFIX, GrpcAddress("127.0.0.1:0", "127.0.0.1:0"))


async def main(address: str, broker_port: int | None = None) -> None:
    """Serves until the bench's lines end."""
    clock = SystemClock()
    inner: PostgreSQLDatabase | SQLiteDatabase
    if "://" in address:
        url = normalised_database_url(address, None)
        await migrate.upgrade(url)
        inner = PostgreSQLDatabase(url, clock, QUEUE_CAPACITY)
    else:
        path = Path(address) / "nervio.db"
        await migrate.upgrade(f"sqlite:///{path}")
        inner = SQLiteDatabase(path, clock, QUEUE_CAPACITY)
    await inner.start()
    database, drafts, openings = RingingDatabase(inner), fleet.Drafts(), fleet.Openings()
    ctx = Ctx(new_id(), "bench", database, clock, None, Lane.FLEET)
    settings = FleetSettings.model_validate({})
    dispatcher = fleet.Dispatcher(
        ctx, new_id(), [_workers(broker_port)], settings, lambda _tenant, _module: None, drafts, openings
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stopping, database.queued.listener()))
    master = Master(ctx, drafts, openings)
    while not any(member.free for member in dispatcher.roster):  # noqa: ASYNC110 (a worker registers when it does)
        await asyncio.sleep(0.01)
    settle_memory()  # as the program does
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        ((name, amount),) = ((name, asked[name]) for name in ("burst", "trips", "stream") if name in asked)
        answer = await getattr(master, name)(amount)
        print(json.dumps(answer), flush=True)
    stopping.set()
    await running
    await inner.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
