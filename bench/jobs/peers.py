"""The peer: DBOS, installed into the user's cache at bench time."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.stock.contender import UnavailableError
from tests.conformance.job_workers import JobWorker

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dbos==3.4.0",)
_INSTALL_SECONDS = 120
_START_SECONDS = 60


async def install() -> Path:
    """The Python that has the peer, installed the first time; raises UnavailableError."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "nervio-bench" / "durable-jobs-1"
    if not (folder / "complete").exists():
        await _run(sys.executable, "-m", "venv", str(folder))
        await _run(str(folder / "bin" / "pip"), "install", "-q", *PACKAGES)
        (folder / "complete").touch()
    return folder / "bin" / "python"


async def _run(*line: str) -> None:
    process = await asyncio.create_subprocess_exec(*line, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(_INSTALL_SECONDS):
            _, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise UnavailableError(f"{line[0]} took longer than {_INSTALL_SECONDS} s") from error
    if process.returncode:
        raise UnavailableError(f"{' '.join(line[:4])} failed: {said.decode(errors='replace')[-300:]}")


class DbosWorker(JobWorker):
    """Our questions, asked of the peer."""

    async def ask(self, tenant_id: str, name: str, payload: Any = None) -> None:
        """Has it queue a workflow; tenants it has none."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"name": name.partition(".")[2], "payload": payload}).encode() + b"\n")
        await self.process.stdin.drain()


@asynccontextmanager
async def a_dbos_worker(python: Path, folder: Path) -> AsyncIterator[DbosWorker]:
    """DBOS at work, killed afterwards."""
    process = await asyncio.create_subprocess_exec(
        str(python), "-m", "bench.jobs.peer_dbos", str(folder), cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    worker = DbosWorker(process)
    try:
        async with asyncio.timeout(_START_SECONDS):
            await worker.hear("ready")
        yield worker
    except TimeoutError as error:
        raise UnavailableError("DBOS did not answer") from error
    finally:
        await worker.kill()
