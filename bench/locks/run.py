"""Stale writes by holders that were suspended, and acquire-and-release cycles a second, beside redis-py's Lock."""

import asyncio
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.figures import spread
from bench.locks.contestants import Contestant, contestant
from bench.locks.trials import LEASE_SECONDS, Trials, some_holders
from bench.report import Options, Report
from bench.stock import database
from bench.stock.contender import UnavailableError
from bench.stock.redis_server import OwnRedis
from nervio.db import migrate
from nervio.kernel.ids import new_id
from nervio.runtime.settings import normalised_database_url

_CONTESTANTS = ("table", "redis", "redis_py")
_TRIALS, _QUICK_TRIALS = 1000, 60
_HOLDERS, _QUICK_HOLDERS = 8, 4
_CYCLE_SECONDS, _QUICK_CYCLE_SECONDS = 3.0, 1.0
# (name, callers, whether they all want the same lock)
_LOADS = (("alone", 1, False), ("many", 32, False), ("one_lock", 8, True))


@dataclass
class Results:
    """Trials by contestant, cycles a second by (contestant, load), and what could not run."""

    trials: dict[str, Trials] = field(default_factory=dict)
    cycles: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run(options: Options) -> Report:
    """Measure; needs PostgreSQL and redis-server, since a lock is between processes."""
    results = Results()
    facts = machine.describe()
    try:
        facts |= asyncio.run(database.describe())
        asyncio.run(_measure(results, options))
    except UnavailableError as reason:
        results.skipped["all"] = str(reason)
    return Report(
        bench="locks",
        figures=figures_of(results),
        goals={f"stale_writes_accepted_{name}": "== 0" for name in ("table", "redis")},
        table=_table(results),
        machine=facts,
        legend={
            "table": "ours, waiting at the lease table",
            "redis": "ours, waiting in Redis",
            "redis_py": "redis-py's own Lock around an UPDATE on the same PostgreSQL",
            "stale accepted": (
                f"trials in which a holder, suspended past its lease of {LEASE_SECONDS} s while a rival took the lock and "
                "wrote, wrote after it woke and was told that it counted"
            ),
            "cycles": "acquire and release a second: ours are two durable writes, redis-py's are in memory",
        },
        broken=broken_promises(results),
    )


async def _measure(results: Results, options: Options) -> None:
    address = await database.create("locks")
    workdir = Path(tempfile.mkdtemp(prefix="nervio-bench-"))
    redis = OwnRedis()
    try:
        await redis.start(workdir)
        await migrate.upgrade(normalised_database_url(address, None))
        where = (address, f"unix://{workdir / 'redis.sock'}", new_id())
        count = _QUICK_TRIALS if options.quick else _TRIALS
        async with some_holders(_QUICK_HOLDERS if options.quick else _HOLDERS, *where) as holders:
            for name in _CONTESTANTS:
                options.note(f"{name}: {count} holders suspended past their lease")
                results.trials[name] = await holders.hold_trials(name, count)
        for number in range(options.runs):
            options.note(f"run {number + 1} of {options.runs}: acquire and release")
            for name in _CONTESTANTS:
                await _cycles(name, where, results, _QUICK_CYCLE_SECONDS if options.quick else _CYCLE_SECONDS)
    finally:
        await redis.stop()
        shutil.rmtree(workdir, ignore_errors=True)
        await database.drop(address)


async def _cycles(name: str, where: tuple[str, str, str], results: Results, seconds: float) -> None:
    taking = contestant(name, *where)
    await taking.start()
    try:
        for load, callers, shared in _LOADS:
            done = await asyncio.gather(
                *(_cycle(taking, "one" if shared else f"lock-{n}", time.monotonic() + seconds) for n in range(callers))
            )
            results.cycles.setdefault((name, load), []).append(sum(done) / seconds)
    finally:
        await taking.stop()


async def _cycle(taking: Contestant, name: str, until: float) -> int:
    done = 0
    while time.monotonic() < until:
        async with taking.lock(name, 10.0):
            done += 1
    return done


def broken_promises(results: Results) -> list[str]:
    """What ours let through."""
    return [
        f"{name}: {found.accepted} stale writes were accepted and {found.overwritten} rows overwritten"
        for name, found in results.trials.items()
        if name != "redis_py" and (found.accepted or found.overwritten)
    ]


def figures_of(results: Results) -> dict[str, float]:
    """The figures of what was measured."""
    figures: dict[str, float] = {}
    for name, found in results.trials.items():
        figures[f"trials_{name}"] = float(found.done)
        figures[f"stale_writes_accepted_{name}"] = float(found.accepted)
        figures[f"rows_overwritten_{name}"] = float(found.overwritten)
    for (name, load), values in results.cycles.items():
        figures[f"cycles_per_s_{load}_{name}"] = spread(values).median
    return figures


def _table(results: Results) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [{"contestant": name, "left out": why} for name, why in results.skipped.items()]
    for name, found in results.trials.items():
        row: dict[str, object] = {
            "contestant": name,
            "trials": found.done,
            "stale accepted": found.accepted,
            "rows overwritten": found.overwritten,
        }
        for load, callers, shared in _LOADS:
            values = results.cycles.get((name, load))
            if values:
                row[f"cycles/s, {callers} callers, {'one lock' if shared else 'a lock each'}"] = spread(values).median
        rows.append(row)
    return rows
