"""The trials: a holder is suspended past its lease, a rival takes the lock and writes, the holder wakes and writes too."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.locks.contestants import Contestant, contestant

LEASE_SECONDS = 0.12
_RIVAL_SECONDS = 20.0
_HEARS_WITHIN_SECONDS = 60.0


@dataclass
class Trials:
    """What came of them. `accepted` writes were answered with success, `overwritten` rows show the late value."""

    done: int = 0
    accepted: int = 0
    overwritten: int = 0


class Holders:
    """Processes that take locks to be suspended under them, one trial at a time each."""

    def __init__(self, processes: Sequence[Process], where: tuple[str, str, str]) -> None:
        self._processes, self._where = processes, where

    async def hold_trials(self, name: str, count: int) -> Trials:
        """Runs `count` trials of a contestant with all processes; a trial takes its lease's length and little more."""
        rival, trials = contestant(name, *self._where), Trials()
        await rival.start()
        left = iter(range(count))

        async def work(number: int, process: Process) -> None:
            for n in left:
                await _trial(name, rival, process, f"row-{number}", n, trials)

        try:
            await asyncio.gather(*(work(number, process) for number, process in enumerate(self._processes)))
        finally:
            await rival.stop()
        return trials


@contextlib.asynccontextmanager
async def some_holders(count: int, address: str, redis_url: str, tenant_id: str) -> AsyncIterator[Holders]:
    """So many processes, over one database and Redis."""
    where = (address, redis_url, tenant_id)
    async with contextlib.AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(_a_holder(where)) for _ in range(count)]
        for process in processes:
            assert await _hear(process) == {"ready": True}
        yield Holders(processes, where)


async def _trial(name: str, rival: Contestant, process: Process, row: str, n: int, trials: Trials) -> None:
    late, newer = 2 * n, 2 * n + 1
    assert process.stdin is not None
    trial = {"name": name, "row": row, "value": late, "seconds": LEASE_SECONDS}
    process.stdin.write(json.dumps(trial).encode() + b"\n")
    assert await _hear(process) == {"held": True}
    try:
        async with rival.lock(row, _RIVAL_SECONDS):
            assert _is_suspended(process.pid), "the holder was not suspended, so the trial shows nothing"
            assert await rival.write(row, newer), "the holder of the lock was refused"
            process.send_signal(signal.SIGCONT)
            answer = await _hear(process)
            value = await rival.read(row)
    except BaseException:
        process.send_signal(signal.SIGCONT)
        raise
    trials.done += 1
    trials.accepted += answer["accepted"]
    trials.overwritten += value != newer


def _is_suspended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None


@contextlib.asynccontextmanager
async def _a_holder(where: tuple[str, str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.locks.holder", *where, stdin=PIPE, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
        await process.communicate()


async def _hear(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _HEARS_WITHIN_SECONDS)
    assert line, "a holder process ended without a word"
    heard: dict[str, Any] = json.loads(line)
    return heard
