"""Starting and stopping the writer processes of the proofs of the stop."""

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.builders import Store

ROOT = Path(__file__).resolve().parents[2]


class WriterProcess:
    """A process of `halt_writer`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def hear(self, seconds: float = 20) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        assert line, "the writer process ended without a word"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def resume(self) -> None:
        """Continues it after SIGSTOP."""
        self._process.send_signal(signal.SIGCONT)

    async def finish(self) -> dict[str, Any]:
        """Lets it end its work and tell what it counted."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.hear()

    async def end(self) -> None:
        """Ends it whatever state it is in."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        # Drains the pipes and closes the transport; waiting alone would leave both to the garbage collector.
        await self._process.communicate()


@contextlib.asynccontextmanager
async def a_writer(
    mode: str, store: Store, sku: str, callers: int = 1, address: str = ""
) -> AsyncIterator[WriterProcess]:
    """A writer process that has begun: committing, or suspended in the middle of a transaction."""
    arguments = (
        "-m",
        "tests.conformance.halt_writer",
        mode,
        address or store.address,
        store.ctx.tenant_id,
        sku,
        str(callers),
    )
    writer = WriterProcess(
        await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    )
    try:
        heard = await writer.hear(60)
        assert heard.keys() & {"writing", "suspended"}, heard
        yield writer
    finally:
        await writer.end()
