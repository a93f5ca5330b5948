"""Brokers, workers and other programs of ours that the bench starts, and ends afterwards."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from bench.fleet.ours import PREFIX, SLOTS
from bench.fleet.peers import ROOT
from bench.stock.contender import UnavailableError
from tests.mosquitto import OwnMosquitto, a_mosquitto


@contextmanager
def a_broker(folder: Path, port: int) -> Iterator[OwnMosquitto]:
    """A broker of the bench's own, without a delay as deploy/mosquitto has it; raises UnavailableError where there is none to
    start."""
    lines = f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(a_mosquitto(folder, port, lines))
        except AssertionError as error:
            raise UnavailableError(str(error)) from error
        yield broker


@asynccontextmanager
async def a_worker(port: int) -> AsyncIterator[Process]:
    """A worker with the kinds of `bench.fleet.worker`."""
    line = ("-m", "nervio_worker", "--broker", f"mqtt://127.0.0.1:{port}", "--prefix", PREFIX)
    options = ("--module", "bench.fleet.worker", "--slots", str(SLOTS), "--log", "error")
    async with a_program(*line, *options) as worker:
        yield worker


@asynccontextmanager
async def a_program(*line: str, speaks: bool = False) -> AsyncIterator[Process]:
    """A Python program of ours, ended afterwards; one that speaks ends by itself when its lines do."""
    folders = (ROOT, ROOT / "src", ROOT / "workers" / "python")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *line, cwd=ROOT, stdin=PIPE, stdout=PIPE if speaks else None,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
    )  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        if not speaks and process.returncode is None:
            process.terminate()
        await process.wait()
