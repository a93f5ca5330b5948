"""Processes that work off jobs, as whoever watches them sees them."""

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


class JobWorker:
    """One process of `tests.conformance.job_worker`."""

    def __init__(self, process: Process) -> None:
        self.ready_at = 0.0
        self.process, self._said = process, asyncio.Queue[dict[str, Any]]()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self._said.put_nowait(json.loads(line))

    async def next(self) -> dict[str, Any]:
        """Its next line."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._said.get()

    async def hear(self, word: str) -> dict[str, Any]:
        """The next line that has the word; those before it are passed over."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while word not in (said := await self._said.get()):
                pass
            return said

    async def ask(self, tenant_id: str, name: str, payload: Any = None) -> None:
        """Has it queue a job."""
        assert self.process.stdin is not None
        line = json.dumps({"tenant": tenant_id, "name": name, "payload": payload})
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def kill(self) -> float:
        """Ends it without a word; when."""
        at = time.time()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        return at


async def first_to_begin(workers: list[JobWorker]) -> tuple[dict[str, Any], JobWorker]:
    """What the first of them says that begins a job, and which one it is."""
    hears = {asyncio.create_task(worker.hear("began")): worker for worker in workers}
    done, others = await asyncio.wait(hears, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    begun = done.pop()
    return begun.result(), hears[begun]


@asynccontextmanager
async def a_job_worker(folder: Path, database_url: str = "") -> AsyncIterator[JobWorker]:
    """A process that works off jobs, killed afterwards. On SQLite the folder has its database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NERVIO_")}
    # Compiled once, as an installed program is: what is measured is how soon it is back.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]), "PYTHONPYCACHEPREFIX": str(folder / "pyc")}
    arguments = ("-m", "tests.conformance.job_worker", str(folder), *([database_url] if database_url else []))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdin=PIPE, stdout=PIPE, env={**kept, **paths}
    )
    worker = JobWorker(process)
    try:
        worker.ready_at = (await worker.hear("ready"))["at"]
        yield worker
    finally:
        await worker.kill()
