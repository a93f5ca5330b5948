"""How soon a task is in other hands when its worker is killed, or stands still: two workers over a broker of their own."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGSTOP
from statistics import median

from bench.fleet.parts import Figures, Part
from bench.fleet.processes import a_broker
from nervio.modules.fleet import api
from tests.conformance.fleets import Fleet, WorkerProcess, a_living_store, a_master, a_prefix, a_worker, remote, until
from tests.runtime.test_two_processes import a_port

LEASE_SECONDS = 2.0
LONG_SECONDS = 120
"""How long the task would take."""


class Pair:
    """A fleet of two workers; one that is killed is started anew by `mend`."""

    def __init__(self, fleet: Fleet, folder: Path, url: str, prefix: str, stack: AsyncExitStack) -> None:
        self._fleet, self._folder, self._url, self._prefix, self._stack = fleet, folder, url, prefix, stack
        self._workers: dict[str, WorkerProcess] = {}

    async def mend(self) -> None:
        """Both take work."""
        for name in ("one", "other"):
            if name not in self._workers:
                worker = a_worker(self._folder, self._url, self._prefix, "--log", "error", worker_id=name)
                self._workers[name] = await self._stack.enter_async_context(worker)
        for name in self._workers:
            await self._fleet.joined(name)

    async def seconds_until_moved(self, *, frozen: bool) -> float:
        """Kills, or freezes, the worker that has a long task; how long until the other one has been given it."""
        await self.mend()
        task_id = await self._fleet.submit({"sleep_seconds": LONG_SECONDS})
        key = self._fleet.store.ctx.tenant_id, task_id
        roster = self._fleet.dispatcher.roster
        await until(lambda: key in roster.held())
        holder = next(member.profile.id for member in roster if key in member.held)
        worker = self._workers.pop(holder)
        began = time.monotonic()
        if frozen:
            worker.send(SIGSTOP)
        else:
            worker.kill()
        (other,) = self._workers
        await until(lambda: (member := roster.find(other)) is not None and key in member.held)
        seconds = time.monotonic() - began
        worker.kill()
        await worker.process.wait()
        await api.cancel_task(self._fleet.store.ctx, task_id)
        self._fleet.dispatcher.wake()
        await until(lambda: key not in roster.held() and not self._fleet.is_there(holder))
        return seconds


@asynccontextmanager
async def a_pair() -> AsyncIterator[Pair]:
    """Their fleet, whose dispatcher is in this process."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nervio-bench-")))
        port, prefix = a_port(), a_prefix()
        stack.enter_context(a_broker(folder, port))
        store = await stack.enter_async_context(a_living_store(folder))
        fleet = await stack.enter_async_context(a_master(store, remote(port, prefix), lease_seconds=LEASE_SECONDS))
        workers = await stack.enter_async_context(AsyncExitStack())
        yield Pair(fleet, folder, f"mqtt://127.0.0.1:{port}", prefix, workers)


async def measure(quick: bool) -> Figures:
    """Several kills and freezes, each with its median."""
    kills, freezes = (5, 1) if quick else (25, 5)
    async with a_pair() as pair:
        killed = [await pair.seconds_until_moved(frozen=False) for _ in range(kills)]
        frozen = [await pair.seconds_until_moved(frozen=True) for _ in range(freezes)]
    return {
        "requeue_ms_after_kill": 1000 * median(killed),
        "requeue_ms_after_kill_worst": 1000 * max(killed),
        "requeue_after_freeze_to_lease": median(frozen) / LEASE_SECONDS,
    }


PART = Part(
    name="requeue",
    measure=measure,
    goals={"requeue_ms_after_kill": "<= 50", "requeue_after_freeze_to_lease": "<= 1.5"},
    legend="one of two workers has a long task and is killed with -9: time until the other one has been given it, committed; then "
    f"the same with SIGSTOP, in leases of {LEASE_SECONDS:g} s",
    worst=frozenset({"requeue_ms_after_kill_worst"}),
)
