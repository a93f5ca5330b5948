"""Tasks a second with one REST request each: the real program on SQLite, a broker and a worker, each in a process of its own."""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.fleet.ours import PREFIX
from bench.fleet.parts import Figures, Part
from bench.fleet.peers import cpu_seconds, tree_of
from bench.fleet.processes import a_broker, a_worker
from bench.fleet.speaking import BODY
from bench.stock.contender import UnavailableError
from bench.stock.ours import HttpOnSqlite
from nervio.kernel.ids import new_id
from tests.runtime.test_two_processes import a_port

A_SECOND = "rest_tasks_a_second"
CONNECTIONS = 32
_TASK = json.dumps({"kind": "echo", "payload": {"body": BODY}}).encode()
_JOIN_SECONDS = 30
_DONE_SECONDS = 300


class Served(HttpOnSqlite):
    """`nervio up` with workers over a broker, and without the limit of requests a person."""

    connections = CONNECTIONS

    def __init__(self, broker_port: int) -> None:
        super().__init__()
        self.settings = {
            "NERVIO_WORKERS__BROKER_URL": f"mqtt://127.0.0.1:{broker_port}",
            "NERVIO_WORKERS__TOPIC_PREFIX": PREFIX,
            "NERVIO_WORKERS__GRPC_LISTEN": f"127.0.0.1:{a_port()}",
            "NERVIO_FLEET__REQUESTS_PER_WINDOW": "0",
        }

    @property
    def pid(self) -> int:
        """Of the server."""
        assert self._process is not None
        return self._process.pid

    async def joined(self) -> None:
        """Until the worker of the kind is there."""
        async with asyncio.timeout(_JOIN_SECONDS):
            while not any("echo" in one["kinds"] for one in (await self._read("/api/workers"))["workers"]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def queue(self, tasks: int) -> None:
        """A request a task, each with a key of its own, as many at once as there are connections."""
        left = iter(range(tasks))

        async def send() -> None:
            assert self._client is not None
            for _ in left:
                headers = f"{self._headers}Idempotency-Key: {new_id()}\r\n"
                status, answer = await self._client.post("/api/tasks", _TASK, headers)
                if status != 202:
                    raise RuntimeError(f"the task was answered with {status}: {answer[:300]!r}")

        async with asyncio.TaskGroup() as senders:
            for _ in range(self.connections):
                senders.create_task(send())

    async def done(self, tasks: int) -> None:
        """Until so many are done."""
        async with asyncio.timeout(_DONE_SECONDS):
            while await self._count_done() < tasks:  # noqa: ASYNC110 (another process does them)
                await asyncio.sleep(0.005)

    async def _count_done(self) -> int:
        usage = (await self._read("/api/fleet/usage?since=2000-01-01&until=2100-01-01"))["usage"]
        return sum(one["done"] for one in usage if one["kind"] == "echo")

    async def _read(self, path: str) -> Any:
        assert self._client is not None
        status, answer = await self._client.request("GET", path, headers=self._headers)
        if status != 200:
            raise RuntimeError(f"{path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)


async def measure(quick: bool) -> Figures:
    """Queues them all and waits until all are done."""
    warm_up, tasks = (200, 1_000) if quick else (1_000, 10_000)
    with tempfile.TemporaryDirectory(prefix="nervio-bench-") as name:
        port = a_port()
        server = Served(port)
        with a_broker(Path(name), port):
            async with a_worker(port) as worker:
                try:
                    await server.start(Path(name))
                    await server.joined()
                    await server.queue(warm_up)
                    await server.done(warm_up)
                    pids = [pid for of in (server.pid, worker.pid) for pid in tree_of(of)]
                    before = sum(map(cpu_seconds, pids))
                    started = time.perf_counter()
                    await server.queue(tasks)
                    queued = time.perf_counter()
                    await server.done(warm_up + tasks)
                    ended = time.perf_counter()
                    taken = sum(map(cpu_seconds, pids)) - before
                except TimeoutError as error:
                    raise UnavailableError("the server or its worker did not come, or was not done in time") from error
                finally:
                    await server.stop()
    return {
        A_SECOND: tasks / (ended - started),
        "rest_queued_a_second": tasks / (queued - started),
        "rest_cpu_us": 1e6 * taken / tasks,
    }


PART = Part(
    name="rest",
    measure=measure,
    goals={"rest_to_celery": ">= 2"},
    legend=f"the same no-op tasks, one POST /api/tasks each over {CONNECTIONS} connections with a key of its own to `nervio up` on "
    "SQLite, done by a worker over MQTT and gRPC, until all are done; beside Celery's tasks/s. `rest_cpu_us` is the server's and the worker's time a task",
)
