"""The bench of the stop: our fence beside a feature flag, the same four writers under both."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from bench import machine
from bench.figures import percentile, spread
from bench.halt.processes import STILL_SECONDS, WriterProcess, writing
from bench.halt.proxy import Line
from bench.halt.unleash import CLIENT_VERSION, SERVER_VERSION, Unleash
from bench.report import Options, Report
from bench.stock import database
from bench.stock.contender import UnavailableError
from nervio.adapters.clock import SystemClock
from nervio.db import migrate
from nervio.db.context import Ctx
from nervio.db.halt import tenant_of_scope
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductInput
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine

PROCESSES = 4
SKU = "HOT"
DEFAULT_POLL_SECONDS, FAIR_POLL_SECONDS = 15, 1
AFTER_SECONDS = 0.3
"""How long is looked for writes after the acknowledgement of ours; of the flag until the last process has stopped."""
LOST_SECONDS = 5.0
COUNT = "SELECT count(*) AS n FROM commits"


@dataclass
class Measured:
    """The rounds of one contender."""

    freeze_ms: list[float] = field(default_factory=list)
    acknowledged_ms: list[float] = field(default_factory=list)
    after: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Shop:
    """A database with something to write to."""

    url: str
    ctx: Ctx

    async def count(self) -> int:
        """Write transactions that have committed."""
        rows = await database.read(self.url, COUNT)
        return int(rows[0]["n"])


@asynccontextmanager
async def a_shop() -> AsyncIterator[Shop]:
    url = await database.create("halt")
    address = urlunsplit(urlsplit(url)._replace(scheme="postgresql+asyncpg"))
    try:
        await migrate.upgrade(address)
        clock = SystemClock()
        opened = PostgreSQLDatabase(address, clock, 10_000)
        await opened.start()
        try:
            ctx = Ctx(new_id(), "bench", opened, clock)
            await catalog.save_location(ctx, LocationInput("MAIN", "Main"))
            await catalog.save_products(ctx, [ProductInput(SKU, "Hot", 100, "ARS")])
            await stock.record_document(ctx, "receipt", StockDocument("MAIN", (StockLine(SKU, 10**12),)))
            yield Shop(url, ctx)
        finally:
            await opened.close()
    finally:
        await database.drop(url)


async def rounds(
    shop: Shop,
    writers: Sequence[WriterProcess],
    count: int,
    longest: float,
    stop: Callable[[], Awaitable[object]],
    go_on: Callable[[], Awaitable[object]],
    spread: float,
) -> Measured:
    """Stops and lets go so many times, at moments that have nothing to do with anybody's polling."""
    measured = Measured()
    draw = random.Random(7)
    for _ in range(count):
        await asyncio.sleep(0.05 + draw.random() * spread)
        asked = time.monotonic()
        await stop()
        acknowledged = time.monotonic()
        before = await shop.count()
        stopped = await asyncio.gather(*(one.until("refusing", longest + 5, STILL_SECONDS) for one in writers))
        await asyncio.sleep(AFTER_SECONDS)
        measured.after.append(await shop.count() - before)
        measured.freeze_ms.append((max(stopped) - asked) * 1000)
        measured.acknowledged_ms.append((acknowledged - asked) * 1000)
        await go_on()
        await asyncio.gather(*(one.until("writing", longest + 10) for one in writers))
    return measured


async def ours(shop: Shop, count: int) -> Measured:
    async def stop() -> None:
        assert isinstance(await safety.freeze(shop.ctx, "bench"), Frozen)

    async def go_on() -> None:
        await safety.unfreeze(shop.ctx, "bench over")

    async with writing(PROCESSES, arguments(shop)) as writers:
        return await rounds(shop, writers, count, 10, stop, go_on, 0.2)


async def flags(shop: Shop, unleash: Unleash, count: int, poll_seconds: int) -> Measured:
    flag = (unleash.url, unleash.token, str(poll_seconds))
    async with writing(PROCESSES, (*arguments(shop), *flag), unleash.libraries) as writers:
        return await rounds(
            shop,
            writers,
            count,
            poll_seconds * 2,
            lambda: unleash.switch(on=False),
            lambda: unleash.switch(on=True),
            min(poll_seconds, 3),
        )


async def store_lost(shop: Shop) -> float:
    """Milliseconds until every process of ours holds everything for stopped, after the line to the database hangs."""
    parts = urlsplit(shop.url)
    line = Line(parts.hostname or "127.0.0.1", parts.port or 5432)
    port = await line.start()
    try:
        user = parts.netloc.rpartition("@")[0]
        through = parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}")
        async with writing(PROCESSES, arguments(shop, urlunsplit(through))) as writers:
            await asyncio.sleep(0.7)
            cut = time.monotonic()
            line.hang()
            stopped = await asyncio.gather(*(one.until_blocked(LOST_SECONDS * 2) for one in writers))
        return (max(stopped) - cut) * 1000
    finally:
        await line.close()


async def flag_server_lost(shop: Shop, unleash: Unleash) -> int:
    """Writes that commit in the seconds after the peer's server has died."""
    flag = (unleash.url, unleash.token, str(FAIR_POLL_SECONDS))
    async with writing(PROCESSES, (*arguments(shop), *flag), unleash.libraries):
        await unleash.kill()
        await asyncio.sleep(FAIR_POLL_SECONDS * 2)
        before = await shop.count()
        await asyncio.sleep(LOST_SECONDS - FAIR_POLL_SECONDS * 2)
        return await shop.count() - before


def arguments(shop: Shop, url: str = "") -> tuple[str, str, str]:
    """What a writer is started with."""
    address = urlunsplit(urlsplit(url or shop.url)._replace(scheme="postgresql+asyncpg"))
    return address, tenant_of_scope(shop.ctx.tenant_id), SKU


def p99(runs: Sequence[Measured], of: Callable[[Measured], Sequence[float]]) -> float:
    """Median of the runs' p99, in milliseconds."""
    return spread([percentile(of(one), 99) for one in runs]).median


def row(name: str, runs: Sequence[Measured]) -> dict[str, object]:
    """A line of the table: medians of the runs, sums of what was counted."""
    freezes = [percentile(one.freeze_ms, 99) for one in runs]
    return {
        "contender": name,
        "stops": sum(len(one.freeze_ms) for one in runs),
        "freeze p50 ms": round(spread([percentile(one.freeze_ms, 50) for one in runs]).median, 1),
        "freeze p99 ms": round(spread(freezes).median, 1),
        "spread": f"{min(freezes):.1f}-{max(freezes):.1f}",
        "acknowledged p99 ms": round(p99(runs, lambda one: one.acknowledged_ms), 1),
        "writes after ack": sum(sum(one.after) for one in runs),
    }


@dataclass
class Runs:
    """What every run gave."""

    own: list[Measured] = field(default_factory=list)
    lost_ms: list[float] = field(default_factory=list)
    fair: list[Measured] = field(default_factory=list)
    default: list[Measured] = field(default_factory=list)
    lost_writes: list[int] = field(default_factory=list)
    absent: str = ""

    @property
    def has_peer(self) -> bool:
        """Whether the flag was measured."""
        return bool(self.default and self.lost_writes)

    def table(self) -> list[dict[str, object]]:
        """A row a contender."""
        peers = [row("unleash, 1 s", self.fair), row("unleash, 15 s (default)", self.default)] if self.has_peer else []
        return [row("nervio", self.own), *peers]

    def figures(self) -> dict[str, float]:
        """Medians of the runs; what was counted is summed. A ratio is that of the same run."""
        figures = {
            "freeze_p99_ms": p99(self.own, lambda one: one.freeze_ms),
            "acknowledged_p99_ms": p99(self.own, lambda one: one.acknowledged_ms),
            "writes_after_acknowledgement": float(sum(sum(one.after) for one in self.own)),
            "store_lost_frozen_ms": max(self.lost_ms),
        }
        if self.has_peer:
            for name, found in (("flag", self.default), ("flag_1s", self.fair)):
                figures[f"{name}_p99_ms"] = p99(found, lambda one: one.freeze_ms)
                figures[f"{name}_writes_after_acknowledgement"] = float(sum(sum(one.after) for one in found))
                ratios = [
                    percentile(theirs.freeze_ms, 99) / percentile(ours.freeze_ms, 99)
                    for theirs, ours in zip(found, self.own, strict=True)
                ]
                figures["ratio_to_flag" + name.removeprefix("flag")] = spread(ratios).median
            figures["flag_server_lost_writes"] = float(min(self.lost_writes))
        return {name: round(value, 2) for name, value in figures.items()}


async def measure(options: Options) -> Report:
    ours_rounds, default_rounds, fair_rounds = (8, 1, 2) if options.quick else (100, 3, 10)
    runs, unleash = Runs(), Unleash()
    described = await database.describe()
    with tempfile.TemporaryDirectory() as folder:
        try:
            options.note("installing and starting the flag server")
            await unleash.start(Path(folder))
        except UnavailableError as error:
            runs.absent = f"the peer was not measured: {error}"
            options.note(runs.absent)
        try:
            for number in range(options.runs):
                options.note(f"run {number + 1} of {options.runs}: our fence, four writers")
                async with a_shop() as shop:
                    runs.own.append(await ours(shop, ours_rounds))
                    options.note("our store lost")
                    runs.lost_ms.append(await store_lost(shop))
                    if runs.absent:
                        continue
                    options.note(f"the flag, polled every {FAIR_POLL_SECONDS} s")
                    runs.fair.append(await flags(shop, unleash, fair_rounds, FAIR_POLL_SECONDS))
                    options.note(f"the flag, polled every {DEFAULT_POLL_SECONDS} s as by default")
                    runs.default.append(await flags(shop, unleash, default_rounds, DEFAULT_POLL_SECONDS))
            if not runs.absent:
                options.note("the flag server lost")
                async with a_shop() as shop:
                    runs.lost_writes.append(await flag_server_lost(shop, unleash))
        finally:
            await unleash.close()
    return report_of(runs, described)


def report_of(runs: Runs, described: dict[str, str]) -> Report:
    """What was measured, and the promises that broke."""
    figures, broken = runs.figures(), []
    if figures["writes_after_acknowledgement"]:
        broken.append(
            f"{figures['writes_after_acknowledgement']:.0f} transactions committed after a stop was acknowledged"
        )
    if figures["store_lost_frozen_ms"] > 2100:
        broken.append("a process that lost the store was not frozen within 2 s")
    return Report(
        bench="halt",
        figures=figures,
        goals={
            "freeze_p99_ms": "<= 50",
            "writes_after_acknowledgement": "== 0",
            "store_lost_frozen_ms": "<= 2000",
            "ratio_to_flag": ">= 200",
        },
        table=runs.table(),
        machine={**machine.describe(), **described},
        legend={
            "nervio": "stop of a shop through the fence",
            "unleash": f"unleash-server {SERVER_VERSION}, UnleashClient {CLIENT_VERSION}: the flag is asked before each write",
        },
        broken=broken,
        notes=[runs.absent] if runs.absent else [],
    )


def run(options: Options) -> Report:
    """The report; raises UnavailableError without PostgreSQL."""
    return asyncio.run(measure(options))
