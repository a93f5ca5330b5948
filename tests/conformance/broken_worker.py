"""A worker with one fault, for the test of the test: python -m tests.conformance.broken_worker FAULT."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from nervio_worker import Answer, Job, Options, Worker
from nervio_worker.checking import check


async def wrong(job: Job) -> Any:
    """Brings something else than was asked for."""
    await check(job)
    return "something else"


async def gappy(job: Job) -> Any:
    """Loses a part of every answer."""
    for n in range(int(job.payload.get("chunks", 0)) if isinstance(job.payload, dict) else 0):
        if n != 3:
            await job.emit(f"part {n}")
    return await check(Job(*job.key, job.kind, "", {**job.payload, "chunks": 0}, 1, 1, None, job.say))


async def content(job: Job) -> Any:
    """Is content with every payload."""
    known = isinstance(job.payload, dict) and "nothing" not in job.payload
    return await check(job) if known else Answer(None)


FAULTS = {"wrong": wrong, "gappy": gappy, "content": content, "abrupt": check, "elsewhere": check}


def main(fault: str) -> None:
    """Runs it with the settings of the environment."""
    environment = os.environ
    worker = Worker(
        Options(
            environment["NERVIO_WORKER_BROKER"],
            environment["NERVIO_WORKER_ID"],
            environment["NERVIO_WORKER_PREFIX"],
            environment["NERVIO_WORKER_TOKEN"],
        )
    )
    worker.kind("other" if fault == "elsewhere" else "check")(FAULTS[fault])
    if fault == "abrupt":
        # Ends at once when it is told to stop, whatever it has.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        asyncio.run(worker.serve(asyncio.Event()))
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1])
