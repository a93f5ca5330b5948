"""The peers: task queues of others on a Redis of their own. Installed into the user's cache at bench time."""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stock.contender import UnavailableError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("celery[redis]==5.7.0", "dramatiq[redis]==2.2.1", "taskiq==0.13.0", "taskiq-redis==1.2.4")
_INSTALL_SECONDS = 300
_ANSWER_SECONDS = 300


@dataclass(frozen=True)
class Peer:
    """A task queue. `worker` is its command for two worker processes, without the program's folder."""

    name: str
    label: str
    worker: tuple[str, ...]
    client: str
    workers: int = 2


PEERS = (
    Peer(
        "celery",
        "Celery 5.7, prefork 2, acknowledged when done",
        (
            "celery",
            "-A",
            "bench.fleet.peer_celery",
            "worker",
            "-c",
            "2",
            "-l",
            "ERROR",
            "--without-gossip",
            "--without-mingle",
        ),
        "bench.fleet.peer_celery",
    ),
    Peer(
        "dramatiq",
        "Dramatiq 2.2, 2 processes of 8 threads",
        ("dramatiq", "bench.fleet.peer_dramatiq", "-p", "2", "-t", "8"),
        "bench.fleet.peer_dramatiq",
    ),
    Peer(
        "taskiq",
        "Taskiq 0.13 on Redis streams, 2 processes",
        ("taskiq", "worker", "bench.fleet.peer_taskiq:broker", "-w", "2", "--log-level", "ERROR"),
        "bench.fleet.peer_taskiq",
    ),
)


async def install(name: str = "task-queues-1", packages: Sequence[str] = PACKAGES) -> Path:
    """The folder of the programs in an environment of that name, made the first time; raises UnavailableError."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "nervio-bench" / name
    if not (folder / "complete").exists():
        await _run([sys.executable, "-m", "venv", str(folder)])
        await _run([str(folder / "bin" / "pip"), "install", "-q", *packages])
        (folder / "complete").touch()
    return folder / "bin"


async def _run(line: Sequence[str]) -> None:
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


class Client:
    """A process that queues tasks, and the processes whose time counts."""

    def __init__(self, client: Process, others: Sequence[Process]) -> None:
        self._client, self._others = client, others

    async def ask(self, **asked: Any) -> dict[str, Any]:
        """What it measured, with `cpu_seconds`: the processor time that all processes took meanwhile."""
        assert self._client.stdin is not None
        pids = [pid for process in (self._client, *self._others) for pid in tree_of(process.pid)]
        before = sum(cpu_seconds(pid) for pid in pids)
        self._client.stdin.write(json.dumps(asked).encode() + b"\n")
        await self._client.stdin.drain()
        heard = await hear(self._client)
        return {**heard, "cpu_seconds": sum(cpu_seconds(pid) for pid in pids) - before}


async def hear(process: Process) -> dict[str, Any]:
    """Its next line."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _ANSWER_SECONDS)
    if not line:
        raise UnavailableError("the client ended without a word")
    heard: dict[str, Any] = json.loads(line)
    return heard


@asynccontextmanager
async def running(peer: Peer, programs: Path, redis_url: str) -> AsyncIterator[Client]:
    """A peer whose workers and client are up."""
    environment = {**os.environ, "PEER_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    program, *arguments = peer.worker
    quiet = asyncio.subprocess.DEVNULL
    worker = await asyncio.create_subprocess_exec(
        str(programs / program),
        *arguments,
        cwd=ROOT,
        env=environment,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
    client = await asyncio.create_subprocess_exec(
        str(programs / "python"), "-m", peer.client, cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE
    )
    try:
        await hear(client)
        yield Client(client, [worker])
    finally:
        for process in (client, worker):
            for pid in reversed(tree_of(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            await process.communicate()


def tree_of(pid: int) -> list[int]:
    """A process and all that it has started, by /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(int(_fields(int(entry.name))[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(parents.get(each, ()))
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far; 0 of one that is gone."""
    try:
        fields = _fields(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    # The name in parentheses may hold anything, blanks and parentheses too; the fields behind it are plain.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
