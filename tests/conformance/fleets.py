"""Fleets for the suites of the workers: the real dispatcher on a store of its own, and workers in process or in processes of
their own over MQTT and gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nervio.adapters.workers.grpc import GrpcAddress
from nervio.adapters.workers.local import LocalWorkers
from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.adapters.workers.mqtt_session import Broker
from nervio.kernel.ids import new_id
from nervio.kernel.time import Instant
from nervio.modules.fleet import api
from nervio.modules.fleet.contracts import Attempt, SubmitTask, Task
from nervio.modules.fleet.settings import FleetSettings
from nervio.modules.fleet.usecases.dispatching import Dispatcher
from nervio.modules.fleet.usecases.drafts import Drafts
from nervio.ports.workers import Answer, Chunk, Job, TaskFailed, WorkerTransport
from tests.builders import SetClock, Store, a_sqlite_database, furnished
from tests.mosquitto import OwnMosquitto

WORKER_SOURCE = Path(__file__).parents[2] / "workers" / "python"
PATIENCE_SECONDS = 20.0
HERE = GrpcAddress("127.0.0.1:0", "127.0.0.1:0")


class LivingClock(SetClock):
    """Goes by itself: leases and heartbeats are about time that passes."""

    def now(self) -> Instant:
        """The wall's."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """The machine's."""
        return time.monotonic()


@dataclass(slots=True)
class Fleet:
    """A dispatcher that runs, and what it showed."""

    store: Store
    dispatcher: Dispatcher
    chunks: list[Chunk] = field(default_factory=list)

    async def submit(self, payload: Any, **given: Any) -> str:
        """Queues a task of the kind `check`; its id."""
        task = SubmitTask(kind=given.pop("kind", "check"), payload=json.dumps(payload), **given)
        queued = await api.submit_task(self.store.ctx, task)
        self.dispatcher.wake()
        return queued.id

    async def submit_many(self, payloads: Sequence[Any]) -> list[str]:
        """Queues many at once."""
        tasks = [(SubmitTask(kind="check", payload=json.dumps(payload)), None) for payload in payloads]
        queued = await api.submit_tasks(self.store.ctx, tasks)
        self.dispatcher.wake()
        return [one.id for one in queued if not isinstance(one, BaseException)]

    async def ended(self, task_id: str) -> tuple[Task, list[Attempt]]:
        """The task once it has ended."""
        return await api.wait_for_task(self.store.ctx, task_id, PATIENCE_SECONDS)

    async def result(self, payload: Any) -> Any:
        """Queues a task and waits for what comes of it."""
        task, _ = await self.ended(await self.submit(payload))
        assert task.state == "done", task.error
        return task.result

    async def joined(self, worker_id: str) -> None:
        """Until that worker takes work."""
        await until(lambda: self.is_ready(worker_id))

    def is_ready(self, worker_id: str) -> bool:
        """Whether that worker takes work."""
        member = self.dispatcher.roster.find(worker_id)
        return member is not None and member.profile.credit > 0

    def is_there(self, worker_id: str) -> bool:
        """Whether that worker is known."""
        return self.dispatcher.roster.find(worker_id) is not None


async def until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Waits until it is so; the seconds that took. Fails where it takes too long."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, "it did not come about"
        await asyncio.sleep(0.001)
    return time.monotonic() - began


@asynccontextmanager
async def a_living_store(folder: Path) -> AsyncIterator[Store]:
    """A SQLite store whose clock goes."""
    clock = LivingClock()
    async with a_sqlite_database(folder / "nervio.db", clock) as database:
        yield await furnished(database, clock, str(folder))


class Shown(Drafts):
    """Answers that are being made, with every part that came."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """See `Drafts`."""
        self.chunks.append(chunk)
        super().add(chunk)


@asynccontextmanager
async def a_master(store: Store, *transports: WorkerTransport, **settings: Any) -> AsyncIterator[Fleet]:
    """A dispatcher on a store, running."""
    shown = Shown()
    given = FleetSettings.model_validate(settings)
    dispatcher = Dispatcher(store.ctx, new_id(), transports, given, lambda _tenant, _module: None, shown)
    stopping, bell = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stopping, bell))
    try:
        yield Fleet(store, dispatcher, shown.chunks)
    finally:
        stopping.set()
        dispatcher.wake()
        await running


class WorkerProcess:
    """A worker in a process of its own."""

    def __init__(self, worker_id: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.id, self.process, self._log = worker_id, process, log

    def kill(self) -> None:
        """Ends it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def said(self) -> str:
        """Its log."""
        return self._log.read_text()


PYTHON_WORKER = (sys.executable, "-m", "nervio_worker")


@asynccontextmanager
async def a_worker(
    folder: Path,
    broker_url: str,
    prefix: str,
    *options: str,
    worker_id: str = "",
    command: Sequence[str] = PYTHON_WORKER,
    **environment: str,
) -> AsyncIterator[WorkerProcess]:
    """A worker that does the kind `check`, by default in Python, ended afterwards. Its log is kept in the folder."""
    name = worker_id or f"w-{secrets.token_hex(3)}"
    log = folder / f"{name}-{secrets.token_hex(2)}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--broker", broker_url, "--prefix", prefix, "--id", name, "--check", *options),
            env={**os.environ, "PYTHONPATH": str(WORKER_SOURCE), **environment},
            stdout=output,
            stderr=output,
        )
    worker = WorkerProcess(name, process, log)
    try:
        yield worker
    finally:
        worker.kill()
        await process.wait()


def url(broker: OwnMosquitto) -> str:
    """Where workers find the broker."""
    return f"mqtt://127.0.0.1:{broker.port}"


def held(fleet: Fleet, worker_id: str) -> int:
    """How many attempts the master believes it to have."""
    member = fleet.dispatcher.roster.find(worker_id)
    return 0 if member is None else len(member.held)


def a_prefix() -> str:
    """Topics of a test's own on a shared broker."""
    return f"test-{secrets.token_hex(4)}"


def remote(port: int, prefix: str, address: GrpcAddress = HERE, **broker: Any) -> RemoteWorkers:
    """The transport over a broker of this machine."""
    return RemoteWorkers(Broker("127.0.0.1", port, **broker), prefix, address)


async def check(job: Job) -> Answer:
    """The kind `check` for workers in process; see nervio_worker.checking."""
    payload = job.payload
    if not isinstance(payload, dict) or not set(payload) <= {"echo", "chunks", "sleep_seconds", "fail", "repeat"}:
        raise TaskFailed("payload: it is none", may_help=False)
    for n in range(payload.get("chunks", 0)):
        job.emit(f"part {n}")
    await asyncio.sleep(payload.get("sleep_seconds", 0))
    if "fail" in payload:
        raise TaskFailed(payload["fail"], may_help=False)
    return Answer("x" * payload["repeat"] if "repeat" in payload else payload.get("echo"), {"input_tokens": 1})


def in_process(slots: int = 2) -> LocalWorkers:
    """The embedded transport."""
    return LocalWorkers("local", {"check": check}, slots=slots)
