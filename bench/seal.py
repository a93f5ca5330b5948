"""`python -m bench seal`: what sealing costs the tills, and how fast a whole journal is audited, beside beancount."""

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import machine
from bench.figures import spread
from bench.report import Options, Report
from bench.stock import database, load
from bench.stock.contender import UnavailableError
from bench.stock.load import ZIPF
from nervio.db.context import Ctx
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductInput
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Sealing, Verification
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordSale, SaleLine
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from nervio.runtime.settings import load_settings
from nervio.runtime.wiring import App, build

_UNIT = 1000
_PRICE = 1000
_CALLERS = 64
# Runs in both kinds of window; the sealer alone comes and goes.
_BACKGROUND = ("sequencer", "relay")
_DATABASES = ("sqlite", "postgresql")
_KEPT = 0.9


@dataclass(frozen=True)
class Plan:
    """`seconds` a window, sealing every `seal_seconds`, more often than the product does, so that each window holds it."""

    warm_seconds: float
    seconds: float
    seal_seconds: float
    bean_entries: int


_FULL = Plan(warm_seconds=0.5, seconds=5.0, seal_seconds=2.0, bean_entries=100_000)
_QUICK = Plan(warm_seconds=0.3, seconds=1.5, seal_seconds=0.6, bean_entries=5_000)
# Each window is compared with the one beside it, and the order turns round: neither growth nor a machine that is busy
# with something else for a while favours one kind.
_PAIRS = ((False, True), (True, False), (False, True), (True, False))


@dataclass
class Results:
    """Tickets a second by (database, sealing), seconds of audits, and what went wrong."""

    tps: dict[tuple[str, bool], list[float]] = field(default_factory=dict)
    audits: dict[str, list[float]] = field(default_factory=dict)
    bean: list[float] = field(default_factory=list)
    entries: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def run(options: Options) -> Report:
    """Measure posting with and without the sealer on each database, then audits of what was posted."""
    plan = _QUICK if options.quick else _FULL
    results = Results()
    facts = machine.describe()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        with contextlib.suppress(UnavailableError):
            facts |= runner.run(database.describe())
        for name in _DATABASES:
            try:
                runner.run(_measure(name, plan, results, options))
            except UnavailableError as reason:
                results.skipped[name] = str(reason)
    _bean_check(plan, results, options)
    for name, why in results.skipped.items():
        options.note(f"{name} is left out: {why}")
    return Report(
        bench="seal",
        figures=_figures(results),
        goals={f"sealed_ratio_{name}": f">= {_KEPT}" for name in _DATABASES},
        table=_table(results, plan),
        machine=facts,
        legend={
            "posting": f"tickets a second, {_CALLERS} callers, one line each: two postings, stock and money",
            "audit": "entries a second of a full audit: every digest, block and signature recomputed from the rows",
            "bean-check": "beancount checks a text ledger of the same deeds; it knows no signatures",
        },
        broken=results.broken,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _measure(name: str, plan: Plan, results: Results, options: Options) -> None:
    async with _a_shop(name) as (app, workdir):
        ctx = Ctx(new_id(), "bench", app.database, app.clock)
        await _stock_up(ctx)
        sealing = Sealing(ledger.make_signer(Ed25519PrivateKey.generate()), workdir / "heads.jsonl", plan.seal_seconds)
        for number in range(options.runs):
            options.note(f"{name}, run {number + 1} of {options.runs}: posting with the sealer and without")
            for pair, order in enumerate(_PAIRS):
                for sealed in order:
                    async with _sealer(ctx, sealing) if sealed else contextlib.nullcontext():
                        measured = await load.steady(
                            _sell(ctx),
                            ZIPF,
                            callers=_CALLERS,
                            warm_seconds=plan.warm_seconds,
                            seconds=plan.seconds,
                            seed=1000 * number + 2 * pair + sealed,
                        )
                    results.tps.setdefault((name, sealed), []).append(measured.tps)
        await ledger.make_sealer(sealing).run(ctx)
        for _ in range(options.runs):
            options.note(f"{name}: audit")
            began = perf_counter()
            result = await app.database.read(lambda c: ledger.verify(c, ledger.read_heads(sealing.heads_path)))
            results.audits.setdefault(name, []).append(perf_counter() - began)
            results.entries[name] = result.entries
            _judge(name, result, results)


def _judge(name: str, result: Verification, results: Results) -> None:
    if not result.verified:
        results.broken.append(f"{name}: the journal does not verify: {result.findings[0]}")
    if result.unsealed_commits:
        results.broken.append(f"{name}: {result.unsealed_commits} commits were left unsealed")


@asynccontextmanager
async def _a_shop(name: str) -> AsyncIterator[tuple[App, Path]]:
    url = await database.create("seal") if name != "sqlite" else None
    workdir = Path(tempfile.mkdtemp(prefix="nervio-bench-"))
    try:
        settings = load_settings(data_dir=workdir, database_url=url)
        async with build(settings).started(_BACKGROUND) as app:
            yield app, workdir
    finally:
        shutil.rmtree(workdir, ignore_errors=True)
        if url is not None:
            await database.drop(url)


@asynccontextmanager
async def _sealer(ctx: Ctx, sealing: Sealing) -> AsyncIterator[None]:
    """Seals and folds as the program does while the body runs; hands the lease back at the end."""
    sealer, fold = ledger.make_sealer(sealing), ledger.make_fold()

    async def go_on() -> None:
        while True:
            await asyncio.sleep(sealing.seconds)
            await sealer.run(ctx)
            await fold.run(ctx)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await sealer.close(ctx)
        await fold.close(ctx)


async def _stock_up(ctx: Ctx) -> None:
    await catalog.save_location(ctx, LocationInput("SHOP", "Shop"))
    skus = [str(number) for number in range(ZIPF.skus)]
    for at in range(0, len(skus), 500):
        part = skus[at : at + 500]
        await catalog.save_products(ctx, [ProductInput(sku, f"Product {sku}", _PRICE) for sku in part])
        lines = tuple(StockLine(sku, 10**7 * _UNIT) for sku in part)
        await stock.record_document(ctx, "receipt", StockDocument("SHOP", lines))


def _sell(ctx: Ctx) -> Callable[[int, str], Awaitable[bool]]:
    async def sell(sku_index: int, key: str) -> bool:
        lines = (SaleLine(str(sku_index), _UNIT),)
        await sales.record_sale(ctx, RecordSale("SHOP", lines, (Payment(PaymentKind.CASH, _PRICE),)), key)
        return True

    return sell


# -- the peer ---------------------------------------------------------------------------------------------------------

_DEED = """2026-03-01 * "sale" "T-{n}"
  Assets:Cash             10.00 ARS
  Income:Sales           -10.00 ARS
  Assets:Sold             1 SKU{sku}
  Assets:Stock           -1 SKU{sku}

"""


def _bean_check(plan: Plan, results: Results, options: Options) -> None:
    command = shutil.which("bean-check", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if command is None:
        results.skipped["bean-check"] = "beancount is not installed (pip install beancount)"
        return
    with tempfile.TemporaryDirectory(prefix="nervio-bench-") as workdir:
        path = Path(workdir) / "journal.beancount"
        names = ("Assets:Cash", "Income:Sales", "Assets:Sold", "Assets:Stock")
        opened = "".join(f"2026-01-01 open {name}\n" for name in names)
        deeds = "".join(_DEED.format(n=n, sku=n % ZIPF.skus) for n in range(plan.bean_entries))
        path.write_text(opened + deeds, encoding="utf-8")
        for _ in range(options.runs):
            options.note("bean-check")
            began = perf_counter()
            done = subprocess.run(
                [command, "--no-cache", path], capture_output=True, text=True, check=False, timeout=900
            )
            if done.returncode != 0:
                results.skipped["bean-check"] = f"failed: {done.stderr.strip()[:200]}"
                return
            results.bean.append(plan.bean_entries / (perf_counter() - began))


# -- the answer -------------------------------------------------------------------------------------------------------


def _figures(results: Results) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in _DATABASES:
        if (name, True) not in results.tps:
            continue
        on, off = (statistics.median(results.tps[name, sealed]) for sealed in (True, False))
        seconds = statistics.median(results.audits[name])
        figures |= {
            f"posting_unsealed_{name}": off,
            f"posting_sealed_{name}": on,
            f"sealed_ratio_{name}": kept(results.tps[name, False], results.tps[name, True]),
            f"audit_entries_per_s_{name}": results.entries[name] / seconds,
            f"audited_entries_{name}": float(results.entries[name]),
        }
    if results.bean:
        figures["bean_check_entries_per_s"] = bean = statistics.median(results.bean)
        for name in results.audits:
            figures[f"audit_to_bean_check_{name}"] = figures[f"audit_entries_per_s_{name}"] / bean
    return figures


def kept(unsealed: list[float], sealed: list[float]) -> float:
    """Return the median, over pairs of windows side by side, of the share of posting that sealing leaves."""
    return statistics.median(on / off for off, on in zip(unsealed, sealed, strict=True))


def _table(results: Results, plan: Plan) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for (name, sealed), values in results.tps.items():
        what = f"posting, sealed every {plan.seal_seconds:g} s" if sealed else "posting, not sealed"
        rows.append(_row(name, what, values))
    for name, seconds in results.audits.items():
        rows.append(_row(name, "audit", [results.entries[name] / value for value in seconds]))
    if results.bean:
        rows.append(_row("beancount", "bean-check", results.bean))
    rows.extend({"database": name, "what": f"left out: {why}"} for name, why in results.skipped.items())
    return rows


def _row(name: str, what: str, values: list[float]) -> dict[str, object]:
    of = spread(values)
    return {"database": name, "what": what, "a second": of.median, "spread": f"{of.low:,.0f} to {of.high:,.0f}"}
