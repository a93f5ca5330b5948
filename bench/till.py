"""`python -m bench till`: how long a sale at a till takes, over HTTP, while a year of trading is loaded beside it.

One till sells a unit every 50 ms to a server on SQLite: first alone, then while `nervio demo` loads through the same
server. The load is also timed by itself, on a database of its own with nobody selling.
"""

import asyncio
import itertools
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import machine
from bench.figures import percentile, spread
from bench.report import Options, Report
from bench.stock.ours import HttpOnSqlite
from nervio.kernel.ids import new_id

_PACE_SECONDS = 0.05
_UNITS = 1_000_000
_QUICK_DAYS = 20
_IDLE_SALES = 200
_QUICK_IDLE_SALES = 40


@dataclass
class Results:
    """What each run gave; times of sales in milliseconds."""

    alone: list[dict[str, Any]] = field(default_factory=list)
    beside: list[dict[str, Any]] = field(default_factory=list)
    idle_ms: list[list[float]] = field(default_factory=list)
    loaded_ms: list[list[float]] = field(default_factory=list)


def run(options: Options) -> Report:
    """Measure and return figures, goals and table."""
    results = Results()
    for number in range(options.runs):
        options.note(f"round {number + 1} of {options.runs}: the year alone")
        workdir = Path(tempfile.mkdtemp(prefix="nervio-bench-"))
        try:
            results.alone.append(asyncio.run(_demo({**os.environ, "NERVIO_DATA_DIR": str(workdir)}, options.quick)))
            options.note(f"round {number + 1} of {options.runs}: a till beside it")
            asyncio.run(_till(results, options.quick))
        finally:
            shutil.rmtree(workdir, ignore_errors=True)
    return Report(
        bench="till",
        figures=_figures(results),
        goals={"till.during_load.p99_ms": "<= 20", "demo.seconds": "<= 30"},
        table=_table(results),
        machine=machine.describe(),
        legend={
            "idle": "a sale every 50 ms over HTTP and nothing else",
            "during load": "the same while `nervio demo` loads through the same server",
        },
        broken=[
            f"the year does not add up: {each}" for each in (*results.alone, *results.beside) if not _is_sound(each)
        ],
    )


async def _demo(environment: dict[str, str], quick: bool) -> dict[str, Any]:
    days = ("--days", str(_QUICK_DAYS)) if quick else ()
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nervio", "demo", "--json", *days),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"nervio demo ended with {process.returncode}: {printed[-300:]!r}")
    report: dict[str, Any] = json.loads(printed)
    return report | {"command_seconds": perf_counter() - began}


async def _till(results: Results, quick: bool) -> None:
    server, workdir = HttpOnSqlite(), Path(tempfile.mkdtemp(prefix="nervio-bench-"))
    try:
        await server.start(workdir)
        await server.prepare([_UNITS])
        results.idle_ms.append(await _sell(server, _QUICK_IDLE_SALES if quick else _IDLE_SALES, None))
        load = asyncio.create_task(_demo(server.environment, quick))
        results.loaded_ms.append(await _sell(server, None, load))
        results.beside.append(await load)
    finally:
        await server.stop()
        shutil.rmtree(workdir, ignore_errors=True)


async def _sell(server: HttpOnSqlite, sales: int | None, until: asyncio.Task[Any] | None) -> list[float]:
    """Times of sales, one every 50 ms: so many, or until a task is done. A late sale delays none: each keeps its hour."""
    times: list[float] = []

    async def sell() -> None:
        began = perf_counter()
        if not await server.sell(0, new_id()):
            raise RuntimeError("the till ran out of stock")
        times.append((perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as tills:
        start = perf_counter()
        for number in range(sales) if sales is not None else itertools.count():
            if until is not None and until.done():
                break
            tills.create_task(sell())
            await asyncio.sleep(max(0.0, start + (number + 1) * _PACE_SECONDS - perf_counter()))
    return times


def _is_sound(report: dict[str, Any]) -> bool:
    return bool(
        not report["oversold"] and not report["refused"] and report["ledger_balanced"] and report["seal_verified"]
    )


def _figures(results: Results) -> dict[str, float]:
    def median(values: list[float]) -> float:
        return spread(values).median

    figures: dict[str, float] = {
        "demo.seconds": median([each["seconds"] for each in results.alone]),
        "demo.lines_per_s": median([each["lines_per_s"] for each in results.alone]),
        "demo.beside_till.seconds": median([each["seconds"] for each in results.beside]),
    }
    for name, runs in (("till.idle", results.idle_ms), ("till.during_load", results.loaded_ms)):
        figures[f"{name}.p50_ms"] = median([percentile(times, 50) for times in runs])
        figures[f"{name}.p99_ms"] = median([percentile(times, 99) for times in runs])
        figures[f"{name}.worst_ms"] = median([max(times) for times in runs])
    figures["till.during_load/idle.p99"] = figures["till.during_load.p99_ms"] / figures["till.idle.p99_ms"]
    return figures


def _table(results: Results) -> list[dict[str, Any]]:
    figures = _figures(results)
    rows: list[dict[str, Any]] = [
        {
            "what": name.replace("_", " "),
            "sales": sum(map(len, runs)),
            "p50 ms": figures[f"till.{name}.p50_ms"],
            "p99 ms": figures[f"till.{name}.p99_ms"],
            "worst ms": figures[f"till.{name}.worst_ms"],
        }
        for name, runs in (("idle", results.idle_ms), ("during_load", results.loaded_ms))
    ]
    for name, reports in (("the year alone", results.alone), ("the year beside a till", results.beside)):
        rows.append(
            {
                "what": name,
                "lines": reports[0]["lines"],
                "lines/s": spread([each["lines_per_s"] for each in reports]).median,
                "seconds": spread([each["seconds"] for each in reports]).median,
                "oversold": sum(each["oversold"] for each in reports),
            }
        )
    return rows
