"""The program with the role `jobs` and jobs to be watched, until it is killed.

    python -m tests.conformance.job_worker FOLDER [DATABASE_URL]

It speaks JSON lines: `{"ready": true, "at": TIME}` once it works, and for each attempt that begins `{"began": JOB, "at": TIME, "from": STEP}`.
Each line on its standard input, `{"tenant": …, "name": …, "payload": …}`, is a job to be queued, answered with
`{"queued": JOB, "at": TIME}`.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from nervio.db.jobs import Job, JobCtx
from nervio.kernel.quantity import UNIT
from nervio.modules.jobs import api
from nervio.modules.jobs.contracts import EnqueueJob
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from nervio.runtime.settings import load_settings
from nervio.runtime.wiring import App, build


def say(**words: Any) -> None:
    """One line."""
    print(json.dumps(words), flush=True)  # noqa: T201 (whoever watches reads it)


async def receive(job: JobCtx, payload: Any) -> int:
    """Receives one unit of a product a step."""
    say(began=job.id, at=time.time(), **{"from": job.value or 0})
    for n in range(job.value or 0, payload["total"]):
        async with job.step(n + 1, done=n + 1, total=payload["total"]) as ctx:
            await stock.record_document(ctx, "receipt", StockDocument("MAIN", (StockLine(payload["sku"], UNIT),)))
        await asyncio.sleep(payload.get("pause_seconds", 0))
    return int(payload["total"])


async def note(job: JobCtx, payload: Any) -> None:
    """Only tells when it began; with `wait_seconds` it stays at work."""
    say(began=job.id, at=time.time(), **{"from": 0})
    await asyncio.sleep((payload or {}).get("wait_seconds", 0))


async def count(job: JobCtx, payload: Any) -> None:
    """As many checkpoints as it is told, and how long they took."""
    say(began=job.id, at=time.time(), **{"from": job.value or 0})
    began = time.monotonic()
    for n in range(job.value or 0, payload):
        await job.checkpoint(n + 1, done=n + 1, total=payload)
    say(counted=payload, seconds=time.monotonic() - began)


JOBS = (Job("check.receive", receive, touches=("stock",)), Job("check.note", note), Job("check.count", count))


async def main(folder: str, database_url: str = "") -> None:
    """Works until its standard input ends."""
    given: dict[str, Any] = {"database_url": database_url} if database_url else {}
    app = build(load_settings(data_dir=Path(folder), environment="test", backup={"daily": False}, **given))
    app.jobs = JOBS
    async with app.started(("jobs",)):
        say(ready=True, at=time.time())
        await asyncio.gather(*[asyncio.create_task(queue(app, line)) async for line in lines()])


async def queue(app: App, line: bytes) -> None:
    """Queues what a line asks for."""
    asked = json.loads(line)
    job = EnqueueJob(asked["name"], asked.get("payload"))
    queued = await api.enqueue_job(app.system_ctx(asked["tenant"]), job)
    say(queued=queued.id, at=time.time())


async def lines() -> Any:
    """What is said to it."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
