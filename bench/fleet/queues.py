"""Tasks a second, processor time and round trips: ours three ways, and the peers."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import percentile, spread
from bench.fleet.peers import PEERS, Client, hear, install, running
from bench.fleet.processes import a_broker, a_program, a_worker
from bench.report import Options
from bench.stock import database
from bench.stock.contender import UnavailableError
from tests.redis_server import a_redis
from tests.runtime.test_two_processes import a_port

WHOLE, IN_PROCESS = "ours_mqtt", "ours_sqlite"
OURS = (WHOLE, IN_PROCESS, "ours_postgres")
BASE = "celery"
PATIENT = "dramatiq"
IN_MEMORY = "_in_memory"
"""What a peer's name ends with where its Redis keeps nothing on the disk."""

GOALS = {
    "tasks_to_celery": ">= 5",
    "tasks_to_dramatiq": ">= 2.5",
    "cpu_to_celery": "<= 0.2",
    "p50_to_celery": "<= 0.8",
    "p50_to_dramatiq": "<= 0.25",
    "p99_to_celery": "<= 0.5",
}
LEGEND = {
    WHOLE: "batch api, durable (synchronous=FULL), fenced, with tenants and sums of use, on SQLite; a broker and a worker in "
    "processes of their own: work goes out over MQTT, results come back over gRPC. The goals are of this one",
    IN_PROCESS: "the same with the workers in the process",
    "ours_postgres": "that on PostgreSQL",
    **{peer.name: f"{peer.label}; Redis has each command on the disk before it answers" for peer in PEERS},
    **{peer.name + IN_MEMORY: "the same; Redis keeps nothing on the disk" for peer in PEERS},
    "tasks/s": "no-op tasks with a body of 200 bytes, queued by one process, until all are done",
    "cpu us": "processor time a task of all processes but the database's, Redis's and the broker's own",
    "round trip": "one task queued, done, and its result back, one after another",
}


@dataclass(frozen=True)
class Load:
    """How much is asked of everybody."""

    burst: int
    warm_up: int
    trips: int


@dataclass
class Measured:
    """The rounds of one contender."""

    a_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


async def measure(queues: dict[str, Measured], skipped: dict[str, str], load: Load, options: Options) -> None:
    """Everybody in turn, as often as there are runs."""
    programs: Path | None = None
    try:
        programs = await install()
    except (UnavailableError, OSError) as reason:
        skipped.update({peer.name + kept: str(reason) for peer in PEERS for kept in ("", IN_MEMORY)})
    for number in range(options.runs):
        options.note(f"run {number + 1} of {options.runs}")
        for name in OURS:
            if name not in skipped:
                try:
                    async with ours(name) as client:
                        await _measure(queues.setdefault(name, Measured()), client, load, 0)
                except UnavailableError as reason:
                    skipped[name] = str(reason)
        for peer, kept in itertools.product(PEERS, ("", IN_MEMORY)) if programs is not None else ():
            assert programs is not None
            name = peer.name + kept
            try:
                with a_redis(durable=not kept) as server:
                    async with running(peer, programs, server.url) as client:
                        await _measure(queues.setdefault(name, Measured()), client, load, peer.workers)
            except UnavailableError as reason:
                skipped[name] = str(reason)


async def _measure(into: Measured, client: Client, load: Load, workers: int) -> None:
    await client.ask(trips=10)
    await client.ask(burst=load.warm_up, workers=workers)
    burst = await client.ask(burst=load.burst, workers=workers)
    trips = (await client.ask(trips=load.trips))["trips_ms"]
    into.a_second.append(load.burst / burst["seconds"])
    into.cpu_us.append(1e6 * burst["cpu_seconds"] / load.burst)
    into.p50_ms.append(percentile(trips, 50))
    into.p99_ms.append(percentile(trips, 99))


@asynccontextmanager
async def ours(name: str) -> AsyncIterator[Client]:
    """One of our contenders; see LEGEND."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nervio-bench-")))
        address = str(folder)
        if name == "ours_postgres":
            address = await database.create("fleet")
            stack.push_async_callback(database.drop, address)
        more, others = [], []
        if name == WHOLE:
            port = a_port()
            stack.enter_context(a_broker(folder, port))
            others.append(await stack.enter_async_context(a_worker(port)))
            more.append(str(port))
        master = await stack.enter_async_context(a_program("-m", "bench.fleet.ours", address, *more, speaks=True))
        await hear(master)
        yield Client(master, others)


def figures_of(queues: Mapping[str, Measured]) -> dict[str, float]:
    """The medians of everybody, and ratios of them: those of the whole path by their own names, those in process beside."""
    figures = {}
    for name, measured in queues.items():
        if measured.a_second:
            figures[f"{name}_tasks_a_second"] = spread(measured.a_second).median
            figures[f"{name}_cpu_us"] = spread(measured.cpu_us).median
            figures[f"{name}_p50_ms"] = spread(measured.p50_ms).median
            figures[f"{name}_p99_ms"] = spread(measured.p99_ms).median
    ours, theirs_kept = (("", WHOLE), ("in_process_", IN_PROCESS)), ("", IN_MEMORY)
    for (prefix, contender), kept in itertools.product(ours, theirs_kept):
        for key, what, peer in (
            ("tasks_to_celery", "tasks_a_second", BASE),
            ("tasks_to_dramatiq", "tasks_a_second", PATIENT),
            ("cpu_to_celery", "cpu_us", BASE),
            ("p50_to_celery", "p50_ms", BASE),
            ("p50_to_dramatiq", "p50_ms", PATIENT),
            ("p99_to_celery", "p99_ms", BASE),
        ):
            mine, theirs = figures.get(f"{contender}_{what}"), figures.get(f"{peer}{kept}_{what}")
            if mine is not None and theirs is not None:
                figures[prefix + key + kept] = mine / theirs
    return figures


def rows_of(queues: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """A row a contender."""
    return [
        {
            "contender": name,
            "tasks/s": spread(measured.a_second).median,
            "spread": range_of(measured.a_second),
            "cpu us": spread(measured.cpu_us).median,
            "round trip p50 ms": spread(measured.p50_ms).median,
            "p99 ms": spread(measured.p99_ms).median,
        }
        for name, measured in queues.items()
        if measured.a_second
    ]


def range_of(values: Sequence[float]) -> str:
    """The lowest and the highest."""
    found = spread(values)
    return f"{found.low:,.0f}-{found.high:,.0f}"
