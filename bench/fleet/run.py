"""The bench of the fleet: tasks a second, round trips and processor time beside Celery, Dramatiq and Taskiq; which worker gets a
task beside the usual ways to choose one; who is served when much more waits than can be done."""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import percentile, spread
from bench.fleet import balancing, fairness
from bench.fleet.ours import PREFIX, SLOTS
from bench.fleet.peers import PEERS, ROOT, Client, Peer, hear, install, running
from bench.report import Options, Report
from bench.stock import database
from bench.stock.contender import UnavailableError
from tests.mosquitto import a_mosquitto
from tests.redis_server import a_redis
from tests.runtime.test_two_processes import a_port

OURS = ("ours_mqtt", "ours_sqlite", "ours_postgres")
BASE = "celery"
PATIENT = "dramatiq"


@dataclass(frozen=True)
class Plan:
    """How much is asked of everybody."""

    burst: int
    warm_up: int
    trips: int
    balanced: int
    queued: int


_FULL = Plan(burst=10_000, warm_up=1_000, trips=300, balanced=40_000, queued=10_000)
_QUICK = Plan(burst=2_000, warm_up=200, trips=50, balanced=4_000, queued=1_800)


@dataclass
class Measured:
    """The rounds of one contender."""

    a_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


@dataclass
class Results:
    """What was measured by contender and policy, and what could not run."""

    queues: dict[str, Measured] = field(default_factory=dict)
    policies: dict[str, dict[str, float]] = field(default_factory=dict)
    served: fairness.Served | None = None
    skipped: dict[str, str] = field(default_factory=dict)


def run(options: Options) -> Report:
    """Measure everybody in turn, as often as there are runs."""
    plan, results = _QUICK if options.quick else _FULL, Results()
    facts = machine.describe()
    try:
        facts |= asyncio.run(database.describe())
    except UnavailableError as reason:
        results.skipped["ours_postgres"] = str(reason)
    asyncio.run(_measure_queues(results, plan, options))
    options.note("choosing workers")
    for name, policy in balancing.POLICIES.items():
        runs = [balancing.simulate(policy, plan.balanced, seed) for seed in range(1, 1 + max(options.runs, 3))]
        results.policies[name] = {key: spread([one[key] for one in runs]).median for key in runs[0]}
    options.note("serving three tenants")
    results.served = fairness.measure(plan.queued)
    return report_of(results, facts)


async def _measure_queues(results: Results, plan: Plan, options: Options) -> None:
    programs: Path | None = None
    try:
        programs = await install()
    except (UnavailableError, OSError) as reason:
        results.skipped.update({peer.name: str(reason) for peer in PEERS})
    for number in range(options.runs):
        options.note(f"run {number + 1} of {options.runs}")
        for name in OURS:
            if name not in results.skipped:
                try:
                    async with _ours(name) as client:
                        await _measure(results.queues.setdefault(name, Measured()), client, plan, 0)
                except UnavailableError as reason:
                    results.skipped[name] = str(reason)
        for peer in PEERS if programs is not None else ():
            await _measure_peer(results, peer, programs, plan)


async def _measure_peer(results: Results, peer: Peer, programs: Path | None, plan: Plan) -> None:
    assert programs is not None
    try:
        with a_redis() as server:
            async with running(peer, programs, server.url) as client:
                await _measure(results.queues.setdefault(peer.name, Measured()), client, plan, peer.workers)
    except UnavailableError as reason:
        results.skipped[peer.name] = str(reason)


async def _measure(into: Measured, client: Client, plan: Plan, workers: int) -> None:
    await client.ask(trips=10)
    await client.ask(burst=plan.warm_up, workers=workers)
    burst = await client.ask(burst=plan.burst, workers=workers)
    trips = (await client.ask(trips=plan.trips))["trips_ms"]
    into.a_second.append(plan.burst / burst["seconds"])
    into.cpu_us.append(1e6 * burst["cpu_seconds"] / plan.burst)
    into.p50_ms.append(percentile(trips, 50))
    into.p99_ms.append(percentile(trips, 99))


@asynccontextmanager
async def _ours(name: str) -> AsyncIterator[Client]:
    """Our contender; `ours_mqtt` is the whole path, with a broker and a worker in processes of their own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nervio-bench-")))
        address = str(folder)
        if name == "ours_postgres":
            address = await database.create("fleet")
            stack.push_async_callback(database.drop, address)
        more, others = [], []
        if name == "ours_mqtt":
            port = a_port()
            stack.enter_context(_a_broker(folder, port))
            others.append(await stack.enter_async_context(_a_worker(port)))
            more.append(str(port))
        master = await stack.enter_async_context(_program("-m", "bench.fleet.ours", address, *more, speaks=True))
        await hear(master)
        yield Client(master, others)


@contextmanager
def _a_broker(folder: Path, port: int) -> Iterator[None]:
    try:
        with a_mosquitto(folder, port):
            yield
    except AssertionError as error:
        raise UnavailableError(str(error)) from error


@asynccontextmanager
async def _a_worker(port: int) -> AsyncIterator[Process]:
    line = ("-m", "nervio_worker", "--broker", f"mqtt://127.0.0.1:{port}", "--prefix", PREFIX)
    options = ("--module", "bench.fleet.worker", "--slots", str(SLOTS), "--log", "error")
    async with _program(*line, *options) as worker:
        yield worker


@asynccontextmanager
async def _program(*line: str, speaks: bool = False) -> AsyncIterator[Process]:
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
        if not speaks:
            process.terminate()
        await process.wait()


def report_of(results: Results, facts: dict[str, str]) -> Report:
    """The figures, each ratio that of medians of the same runs."""
    figures = {**_queue_figures(results.queues), **_policy_figures(results.policies)}
    if results.served is not None:
        figures["tenant_share_error"] = results.served.largest_share_error()
        figures["low_priority_share"] = results.served.low_share()
    return Report(
        bench="fleet",
        figures=figures,
        goals={
            "tasks_to_celery": ">= 5",
            "tasks_to_dramatiq": ">= 2.5",
            "cpu_to_celery": "<= 0.2",
            "p50_to_celery": "<= 0.8",
            "p50_to_dramatiq": "<= 0.25",
            "p99_to_celery": "<= 0.5",
            "p99_to_credit_only": "<= 0.75",
            "p99_to_round_robin": "<= 0.05",
            "tenant_share_error": "<= 0.05",
            "low_priority_share": ">= 0.04",
        },
        table=_table(results),
        machine=facts,
        legend={
            "ours_sqlite": "batch api, durable (synchronous=FULL), fenced, with tenants and sums of use; workers in the process",
            "ours_postgres": "the same on PostgreSQL",
            **{peer.name: peer.label for peer in PEERS},
            "tasks/s": "no-op tasks with a body of 200 bytes, queued by one process, until all are done",
            "cpu us": "processor time a task of all processes but the database's and Redis's own",
            "round trip": "one task queued, done, and its result back, one after another",
            "policies": "ten workers of speeds 4, 2 and 1 with one slot each, lognormal sizes, 80 % load, in virtual time: seconds",
        },
        notes=(
            "Redis keeps nothing on disk here: the peers' tasks and results die with it. Ours are committed before anybody is told.",
            "SQLite and its commits run inside our process and count; PostgreSQL's and Redis's own processor time counts for nobody.",
            "Workers over MQTT and gRPC are not in this bench yet.",
        ),
    )


def _queue_figures(queues: dict[str, Measured]) -> dict[str, float]:
    figures = {}
    for name, measured in queues.items():
        if measured.a_second:
            figures[f"{name}_tasks_a_second"] = spread(measured.a_second).median
            figures[f"{name}_cpu_us"] = spread(measured.cpu_us).median
            figures[f"{name}_p50_ms"] = spread(measured.p50_ms).median
            figures[f"{name}_p99_ms"] = spread(measured.p99_ms).median
    for key, ours, theirs in (
        ("tasks_to_celery", "ours_sqlite_tasks_a_second", f"{BASE}_tasks_a_second"),
        ("tasks_to_dramatiq", "ours_sqlite_tasks_a_second", f"{PATIENT}_tasks_a_second"),
        ("cpu_to_celery", "ours_sqlite_cpu_us", f"{BASE}_cpu_us"),
        ("p50_to_celery", "ours_sqlite_p50_ms", f"{BASE}_p50_ms"),
        ("p50_to_dramatiq", "ours_sqlite_p50_ms", f"{PATIENT}_p50_ms"),
        ("p99_to_celery", "ours_sqlite_p99_ms", f"{BASE}_p99_ms"),
    ):
        if ours in figures and theirs in figures:
            figures[key] = figures[ours] / figures[theirs]
    return figures


def _policy_figures(policies: dict[str, dict[str, float]]) -> dict[str, float]:
    return {f"p99_to_{name}": policies["ours"]["p99"] / policies[name]["p99"] for name in policies if name != "ours"}


def _table(results: Results) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "contender": name,
            "tasks/s": spread(measured.a_second).median,
            "spread": _range(measured.a_second),
            "cpu us": spread(measured.cpu_us).median,
            "round trip p50 ms": spread(measured.p50_ms).median,
            "p99 ms": spread(measured.p99_ms).median,
        }
        for name, measured in results.queues.items()
        if measured.a_second
    ]
    rows += [{"contender": name, "tasks/s": f"left out: {reason}"} for name, reason in results.skipped.items()]
    rows += [
        {"contender": f"policy {name}", "mean s": found["mean"], "p95 s": found["p95"], "p99 s": found["p99"]}
        for name, found in results.policies.items()
    ]
    return rows


def _range(values: Sequence[float]) -> str:
    found = spread(values)
    return f"{found.low:,.0f}-{found.high:,.0f}"
