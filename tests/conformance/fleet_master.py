"""A process that works off tasks until it is killed, for the proofs of the fleet.

    python -m tests.conformance.fleet_master ADDRESS HISTORY

It does tasks of the kind `double` with workers of its own, and writes each attempt that it begins into the file HISTORY. Once it
works it says so on its standard output.
"""

import asyncio
import random
import sys
from pathlib import Path
from typing import TextIO

from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.local import LocalWorkers
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.kernel.ids import NIL, new_id
from nervio.modules.fleet.api import Dispatcher, Drafts
from nervio.modules.fleet.settings import FleetSettings
from nervio.ports.workers import Answer, Job
from nervio.runtime.commits import RingingDatabase
from tests.conformance.halt_writer import database_at

SETTINGS = FleetSettings.model_validate({"lease_seconds": 1, "owner_lease_seconds": 1})


async def main(address: str, history: TextIO) -> None:
    """Works until it is killed."""

    async def double(job: Job) -> Answer:
        history.write(f"{job.assignment.task_id} {job.assignment.token}\n")
        history.flush()
        # Long enough that whoever is killed has something in hand, however fast the machine.
        await asyncio.sleep(random.uniform(0, 0.2))
        return Answer(2 * job.payload["n"])

    inner = database_at(address)
    await inner.start()
    database, owner = RingingDatabase(inner), new_id()
    ctx = Ctx(NIL, "nervio", database, SystemClock(), None, Lane.JOBS)
    worker = LocalWorkers(f"worker-{owner}", {"double": double}, slots=8)
    dispatcher = Dispatcher(ctx, owner, [worker], SETTINGS, lambda _tenant, _module: None, Drafts())
    print("working", flush=True)  # noqa: T201 (the test waits for it)
    await dispatcher.run(asyncio.Event(), database.queued.listener())


if __name__ == "__main__":
    with Path(sys.argv[2]).open("a", encoding="utf-8") as file:
        asyncio.run(main(sys.argv[1], file))
