"""The bench of background jobs: how soon one begins, how soon it goes on after kill -9, what an idle process costs."""

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import percentile, spread
from bench.fleet.peers import cpu_seconds
from bench.jobs.peers import a_dbos_worker, install
from bench.report import Options, Report
from bench.stock import database
from bench.stock.contender import UnavailableError
from nervio.kernel.ids import new_id
from tests.conformance.job_workers import JobWorker, a_job_worker, first_to_begin

ENDLESS = 10_000_000


@dataclass(frozen=True)
class Plan:
    """How much is asked."""

    jobs: int
    steps: int
    idle_seconds: float
    kills: int


_FULL = Plan(jobs=200, steps=3_000, idle_seconds=20, kills=3)
_QUICK = Plan(jobs=20, steps=300, idle_seconds=4, kills=1)


@dataclass
class Results:
    """Figures by contender and measure, a value a run; what could not run, and why."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, contender: str, measure: str, value: float) -> None:
        """One value more."""
        self.values.setdefault(contender, {}).setdefault(measure, []).append(value)


def run(options: Options) -> Report:
    """Measure everybody in turn, as often as there are runs."""
    plan, results, facts = _QUICK if options.quick else _FULL, Results(), machine.describe()
    asyncio.run(_measure_all(results, plan, options, facts))
    return report_of(results, facts)


async def _measure_all(results: Results, plan: Plan, options: Options, facts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="nervio-bench-") as name:
        for number in range(options.runs):
            options.note(f"run {number + 1} of {options.runs}: ours on SQLite")
            folder = Path(name) / f"sqlite-{number}"
            folder.mkdir()
            async with a_job_worker(folder) as worker:
                await _measure(results, "ours_sqlite", worker, plan)
            await _resume(results, folder, plan)
            try:
                options.note("ours on PostgreSQL")
                facts |= await database.describe()
                await _on_postgres(results, Path(name), plan)
            except UnavailableError as reason:
                results.skipped["ours_postgres"] = str(reason)
            try:
                options.note("DBOS")
                python, own = await install(), Path(name) / f"dbos-{number}"
                own.mkdir()
                async with a_dbos_worker(python, own) as worker:
                    await _measure(results, "dbos", worker, plan)
            except (UnavailableError, OSError) as reason:
                results.skipped["dbos"] = str(reason)


async def _on_postgres(results: Results, folder: Path, plan: Plan) -> None:
    address = await database.create("jobs")
    try:
        async with a_job_worker(folder, address) as worker:
            await _measure(results, "ours_postgres", worker, plan)
            await _take_over(results, folder, address, worker, plan)
    finally:
        await database.drop(address)


async def _measure(results: Results, contender: str, worker: JobWorker, plan: Plan) -> None:
    """One job after another, none at all, and one of many steps."""
    tenant_id, waits = new_id(), []
    for n in range(plan.jobs + 2):
        await worker.ask(tenant_id, "check.note")
        said: dict[str, float] = {}
        while len(said) < 2:
            line = await worker.next()
            said["queued" if "queued" in line else "began"] = line["at"]
        if n >= 2:  # the first ones find everything cold
            waits.append(1000 * max(said["began"] - said["queued"], 0.0))
        await asyncio.sleep(0.05)
    results.add(contender, "dispatch_p50_ms", percentile(waits, 50))
    results.add(contender, "dispatch_p99_ms", percentile(waits, 99))
    await worker.ask(tenant_id, "check.count", plan.steps)
    results.add(contender, "steps_a_second", plan.steps / (await worker.hear("counted"))["seconds"])
    await asyncio.sleep(1)
    before, began = cpu_seconds(worker.pid), time.monotonic()
    await asyncio.sleep(plan.idle_seconds)
    used = cpu_seconds(worker.pid) - before
    results.add(contender, "idle_cpu_percent", 100 * used / (time.monotonic() - began))


async def _resume(results: Results, folder: Path, plan: Plan) -> None:
    """From kill -9 of the only process to the handler at work again in the next one, whose start counts."""
    async with a_job_worker(folder) as worker:
        await worker.ask(new_id(), "check.count", ENDLESS)
        await worker.hear("began")
        await asyncio.sleep(0.5)
        killed_at = await worker.kill()
    for _ in range(plan.kills):
        async with a_job_worker(folder) as worker:
            began = await worker.hear("began")
            assert began["from"] > 0, "it did not go on where it was"
            results.add("ours_sqlite", "resume_seconds", began["at"] - killed_at)
            results.add("ours_sqlite", "resume_after_start_seconds", max(began["at"] - worker.ready_at, 0.0))
            await asyncio.sleep(0.5)
            killed_at = await worker.kill()


async def _take_over(results: Results, folder: Path, address: str, first: JobWorker, plan: Plan) -> None:
    """From kill -9 of one process to the handler at work in another that is alive."""
    workers, stack = [first], []
    try:
        for _ in range(plan.kills):
            stack.append(a_job_worker(folder, address))
            workers.append(await stack[-1].__aenter__())
        await first.ask(new_id(), "check.count", ENDLESS)
        _, busy = await first_to_begin(workers)
        for _ in range(plan.kills):
            await asyncio.sleep(1)
            workers.remove(busy)
            killed_at = await busy.kill()
            began, busy = await first_to_begin(workers)
            assert began["from"] > 0, "it did not go on where it was"
            results.add("ours_postgres", "takeover_seconds", began["at"] - killed_at)
    finally:
        for one in stack:
            await one.__aexit__(None, None, None)


def report_of(results: Results, facts: dict[str, str]) -> Report:
    """Medians of the runs; the figures without a contender in their name are the worse of ours."""
    medians = {
        name: {measure: spread(values).median for measure, values in found.items()}
        for name, found in results.values.items()
    }
    figures = {f"{name}_{measure}": value for name, found in medians.items() for measure, value in found.items()}
    ours = [found for name, found in medians.items() if name.startswith("ours_")]
    for measure in ("dispatch_p50_ms", "idle_cpu_percent", "resume_seconds", "takeover_seconds"):
        measured = [found[measure] for found in ours if measure in found]
        if measured:
            figures[measure] = max(measured)
    return Report(
        bench="jobs",
        figures=figures,
        goals={
            "dispatch_p50_ms": "<= 50",
            "resume_seconds": "<= 2",
            "takeover_seconds": "<= 3",
            "idle_cpu_percent": "<= 1",
        },
        table=_table(medians, results.skipped),
        machine=facts,
        legend={
            "ours_sqlite": "the program with the role `jobs` on SQLite (synchronous=FULL)",
            "ours_postgres": "the same on PostgreSQL; taken over by another process that is alive",
            "dbos": "DBOS 3.4 on SQLite with its default poll; takes nothing over from a process that is dead",
            "dispatch": "from the commit that queues a job to its handler",
            "resume": "from kill -9 to the handler at work again, the start of the new process included",
            "resume after start": "the part of it after the store is open",
        },
        notes=(
            "Our steps are checkpoints under a fencing token, each a durable commit; DBOS writes its steps as it is set.",
        ),
    )


def _table(medians: dict[str, dict[str, float]], skipped: dict[str, str]) -> list[dict[str, Any]]:
    names = {
        "dispatch_p50_ms": "dispatch p50 ms",
        "dispatch_p99_ms": "p99 ms",
        "resume_seconds": "resume s",
        "resume_after_start_seconds": "resume after start s",
        "takeover_seconds": "takeover s",
        "idle_cpu_percent": "idle cpu %",
        "steps_a_second": "steps/s",
    }
    rows: list[dict[str, Any]] = [
        {"contender": name, **{label: found[key] for key, label in names.items() if key in found}}
        for name, found in medians.items()
    ]
    return rows + [{"contender": name, "dispatch p50 ms": f"left out: {reason}"} for name, reason in skipped.items()]
