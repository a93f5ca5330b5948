"""Ten thousand tasks of three tenants and three priorities on a real queue: who is served while there is work of all."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nervio.adapters.clock import SystemClock
from nervio.db import migrate
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.ids import NIL, new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Priority, SubmitTask
from nervio.modules.fleet.settings import FleetSettings
from nervio.ports.workers import Assignment, Ending, Master, Profile, Report
from nervio.runtime.commits import RingingDatabase

TENANTS = 3
QUEUE_CAPACITY = 100_000
CREDIT = 21
"""As many as the shares of the priorities add up to, so that a round can show them."""


@dataclass(frozen=True)
class Served:
    """Who was served until work of one priority ran out: (tenant, priority) of each task in its turn."""

    turns: Sequence[tuple[str, int]]

    def largest_share_error(self) -> float:
        """How far the tenant that is farthest from a third is from it, of a third."""
        counts = Counter(tenant for tenant, _ in self.turns)
        return max(abs(counts[tenant] / len(self.turns) * TENANTS - 1) for tenant in counts)

    def low_share(self) -> float:
        """Share of the turns that low priority had."""
        return sum(priority == Priority.LOW for _, priority in self.turns) / len(self.turns)


class _Hands:
    """A worker that is done at once; what it is given is what is measured."""

    name = "bench"
    is_local = False

    def __init__(self) -> None:
        self.given: list[Assignment] = []

    async def start(self, master: Master) -> None:
        """See `WorkerTransport`."""

    async def assign(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""
        self.given.extend(assignments)

    async def cancel(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""

    async def close(self) -> None:
        """See `WorkerTransport`."""


def measure(tasks: int) -> Served:
    """Queues the tasks tenant by tenant, the first one's long before the last one's, and serves them until one kind runs out."""
    with tempfile.TemporaryDirectory(prefix="nervio-bench-") as folder:
        return asyncio.run(_measure(Path(folder), tasks))


async def _measure(folder: Path, tasks: int) -> Served:
    await migrate.upgrade(f"sqlite:///{folder / 'nervio.db'}")
    inner = SQLiteDatabase(folder / "nervio.db", SystemClock(), QUEUE_CAPACITY)
    await inner.start()
    ctx = Ctx(NIL, "bench", RingingDatabase(inner), SystemClock(), None, Lane.FLEET)
    each = tasks // (TENANTS * len(Priority))
    for _ in range(TENANTS):
        of_tenant = replace(ctx, tenant_id=new_id())
        for priority in reversed(Priority):
            task = SubmitTask("noop", "{}", priority=priority)
            outcomes = await fleet.submit_tasks(of_tenant, [(task, None)] * each)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            assert not failures, failures[0]
    hands, settings = _Hands(), FleetSettings.model_validate({})
    dispatcher = fleet.Dispatcher(ctx, new_id(), [hands], settings, lambda _tenant, _module: None, fleet.Drafts())
    dispatcher.joined(hands, Profile("w", new_id(), ("noop",), (), CREDIT, CREDIT))
    turns = await _serve(ctx, dispatcher, hands, each)
    await dispatcher.close()
    await inner.close()
    return Served(turns)


async def _serve(ctx: Ctx, dispatcher: fleet.Dispatcher, hands: _Hands, each: int) -> list[tuple[str, int]]:
    turns: list[tuple[str, int]] = []
    left: Counter[tuple[str, int]] = Counter()
    while True:
        await dispatcher.run_once()
        given, hands.given = hands.given, []
        for one in given:
            task, _ = await fleet.get_task(replace(ctx, tenant_id=one.tenant_id), one.task_id)
            left[one.tenant_id, task.priority] += 1
            if left[one.tenant_id, task.priority] == each:
                return turns
            turns.append((one.tenant_id, task.priority))
        done = [Report(one.tenant_id, one.task_id, one.token, Ending.DONE, seconds=1.0) for one in given]
        await dispatcher.report("w", done)
