"""`python -m bench stock`: rounds over all contenders, loads within each, and the report of it all."""

import asyncio
import contextlib
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

from bench import machine
from bench.report import Options, Report
from bench.stock import database, load
from bench.stock.contender import Contender, Entry, UnavailableError
from bench.stock.entries import ENTRIES
from bench.stock.load import HOT, ZIPF, Measured, Mix
from bench.stock.outcome import SLOW_DISK, SLOW_FLUSH_MS, Results, broken, figures, goals, notes, table
from bench.stock.tally import judge

# More than any contender sells in a second, so that no steady load runs out of stock.
_UNITS_A_SECOND = 80_000
_OURS_ATTEMPTS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How long and how much: `steady` loads by name, the race for the last units, and the scarce load of ours."""

    warm_seconds: float
    seconds: float
    last_units: int
    buyers: int
    # Attempts of all contenders of ours together; the scarce load makes up what the other loads left open.
    ours_attempts: int
    steady: Sequence[tuple[str, Mix, int]]
    slow_disk: Sequence[tuple[str, Mix, int]] = ()


_SLOW_DISK = tuple((load, HOT, int(load.split("_")[1])) for load in SLOW_DISK)
_STEADY = (("hot_64", HOT, 64), ("hot_256", HOT, 256), ("zipf_64", ZIPF, 64), ("zipf_256", ZIPF, 256))
_FULL = Plan(
    warm_seconds=0.5,
    seconds=3.0,
    last_units=200,
    buyers=2_000,
    ours_attempts=_OURS_ATTEMPTS,
    steady=_STEADY,
    slow_disk=_SLOW_DISK,
)
_QUICK = Plan(warm_seconds=0.1, seconds=0.4, last_units=50, buyers=500, ours_attempts=0, steady=_STEADY[:3])


def run(options: Options) -> Report:
    """Measure every contender and return figures, goals and table; skips, with the reason, what cannot run here."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(options))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where there is one: the same loop for all, and the one that the product runs on."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(options: Options) -> Report:
    plan = _QUICK if options.quick else _FULL
    results = Results(last_units=plan.last_units, buyers=plan.buyers)
    facts = machine.describe()
    with contextlib.suppress(UnavailableError):
        facts |= await database.describe()
    results.driver_us = await _driver_cost()
    if options.quick:
        results.skipped |= {entry.name: "not with --quick: slow to start" for entry in ENTRIES if entry.full_only}
    for round_number in range(options.runs):
        results.fsync_ms.append(_fsync_ms())
        turn = round_number % len(ENTRIES)
        for entry in (*ENTRIES[turn:], *ENTRIES[:turn]):
            if entry.name not in results.skipped:
                options.note(f"round {round_number + 1} of {options.runs}: {entry.name}")
                await _take_part(entry, plan, results, options, seed=round_number)
        await _slow_disk_round(plan, results, options, seed=round_number)
    await _fill_attempts(plan, results, options)
    return Report(
        bench="stock",
        figures=figures(results, ENTRIES),
        goals=goals(),
        table=table(results, ENTRIES),
        machine=facts,
        notes=notes(results),
        legend={entry.name: entry.remark for entry in ENTRIES},
        broken=broken(results, ENTRIES),
    )


async def _slow_disk_round(plan: Plan, results: Results, options: Options, *, seed: int) -> None:
    """The loads again as on the disk that the goals were set on, one contender after the other."""
    longer = round(SLOW_FLUSH_MS * 1000 - results.fsync_ms[-1] * 1000)
    if not plan.slow_disk or longer <= 0:
        return
    slower = replace(plan, steady=plan.slow_disk, last_units=0)
    for entry in ENTRIES:
        if entry.slow_disk and entry.name not in results.skipped:
            options.note(f"a flush of {SLOW_FLUSH_MS} ms: {entry.name}")
            with database.slower_flush(longer):
                await _take_part(entry, slower, results, options, seed=seed)


async def _take_part(entry: Entry, plan: Plan, results: Results, options: Options, *, seed: int) -> None:
    """Run one contender's loads of one round. A peer that fails is left out from here on, ours fails the bench."""
    contender, workdir = entry.make(), Path(tempfile.mkdtemp(prefix="nervio-bench-"))
    try:
        try:
            await contender.start(workdir)
            if not entry.example_only:
                for name, mix, callers in plan.steady:
                    await _steady(entry, contender, plan, results, name, mix, callers, seed)
            if plan.last_units:
                await _last_units(entry, contender, plan, results, seed)
        finally:
            await contender.stop()
            shutil.rmtree(workdir, ignore_errors=True)
    except UnavailableError as reason:
        results.skipped[entry.name] = str(reason)
        options.note(f"{entry.name} is left out: {reason}")
    except Exception as error:
        if entry.ours:
            raise
        results.skipped[entry.name] = f"failed: {type(error).__name__}: {error}"
        options.note(f"{entry.name} {results.skipped[entry.name]}")


async def _steady(
    entry: Entry, contender: Contender, plan: Plan, results: Results, name: str, mix: Mix, callers: int, seed: int
) -> None:
    units = mix.stock(int(_UNITS_A_SECOND * (plan.warm_seconds + plan.seconds)))
    await contender.prepare(units)
    measured = await load.steady(
        contender.sell, mix, callers=callers, warm_seconds=plan.warm_seconds, seconds=plan.seconds, seed=seed
    )
    await _record(entry, contender, results, name, units, measured)


async def _last_units(entry: Entry, contender: Contender, plan: Plan, results: Results, seed: int) -> None:
    """Everybody at once for the last units; then what was sold is asked for again, which must change nothing."""
    units = [plan.last_units]
    await contender.prepare(units)
    measured = await load.rush(contender.sell, HOT, attempts=plan.buyers, callers=plan.buyers, seed=seed)
    for sku, key in islice(measured.sold_keys, plan.last_units):
        if not await contender.sell(sku, key):
            results.forgotten[entry.name] += 1
    await _record(entry, contender, results, "last_units", units, measured)


async def _record(
    entry: Entry, contender: Contender, results: Results, name: str, units: Sequence[int], measured: Measured
) -> None:
    results.add(entry.name, name, measured, judge(units, measured.answers, await contender.audit()))
    results.durable[entry.name] = contender.durable


async def _fill_attempts(plan: Plan, results: Results, options: Options) -> None:
    """Let ours make up the promised number of attempts on stock that runs out (Zipf, most of them refused)."""
    ours = [entry for entry in ENTRIES if entry.ours and entry.name not in results.skipped]
    missing = plan.ours_attempts - sum(results.attempts(entry.name) for entry in ours)
    # Over HTTP the same code decides, slower; the attempts are made where they are cheapest.
    ours = [entry for entry in ours if not entry.name.endswith("_http")]
    for entry in ours if missing > 0 else []:
        options.note(f"scarce stock: {entry.name}")
        contender, workdir = entry.make(), Path(tempfile.mkdtemp(prefix="nervio-bench-"))
        attempts = missing // len(ours) + 1
        units = ZIPF.stock(attempts // 10)
        try:
            await contender.start(workdir)
            await contender.prepare(units)
            measured = await load.rush(contender.sell, ZIPF, attempts=attempts, callers=256, seed=1)
            await _record(entry, contender, results, "scarce", units, measured)
        finally:
            await contender.stop()
            shutil.rmtree(workdir, ignore_errors=True)


async def _driver_cost() -> float:
    """Return microseconds that the load itself costs a sale, measured on a contender that only yields once."""

    async def nothing(_sku: int, _key: str) -> bool:
        await asyncio.sleep(0)
        return True

    measured = await load.steady(nothing, ZIPF, callers=64, warm_seconds=0.05, seconds=0.3, seed=0)
    return 1e6 / measured.tps


def _fsync_ms() -> float:
    """Return the median time of writing and syncing one page: what an unbatched hot row cannot be faster than."""
    times = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(50):
            began = perf_counter()
            file.write(b"\0" * 8192)
            os.fsync(file.fileno())
            times.append((perf_counter() - began) * 1000)
    return statistics.median(times)
