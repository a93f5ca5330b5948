"""The writers as whoever measures sees them."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STILL_SECONDS = 0.1
"""A process counts as stopped once it has refused for this long without a write in between."""


class WriterProcess:
    """One process of `bench.halt.writer`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.state, self.since = "", 0.0
        self.blocked, self.blocked_since = False, 0.0
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            heard: dict[str, Any] = json.loads(line)
            if "state" in heard:
                self.state, self.since = heard["state"], heard["at"]
            else:
                self.blocked, self.blocked_since = heard["blocked"], heard["at"]
            self._changed.set()

    async def until(self, state: str, seconds: float, still: float = 0.0) -> float:
        """When it came into a state and stayed in it; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.state != state or time.monotonic() - self.since < still:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self._changed.wait()
        return self.since

    async def until_blocked(self, seconds: float) -> float:
        """When it held everything for stopped; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not self.blocked:
                self._changed.clear()
                await self._changed.wait()
        return self.blocked_since

    async def end(self) -> None:
        """Ends it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


@contextlib.asynccontextmanager
async def writing(
    count: int, arguments: Sequence[str], libraries: Path | None = None
) -> AsyncIterator[list[WriterProcess]]:
    """So many processes that write."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), *([] if libraries is None else [str(libraries)])])
    started: list[WriterProcess] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.halt.writer", *arguments,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
            started.append(WriterProcess(process))
        await asyncio.gather(*(one.until("writing", 60) for one in started))
        yield started
    finally:
        await asyncio.gather(*(one.end() for one in started))
