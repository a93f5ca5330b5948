"""`python -m bench events`: nothing lost and nothing twice under kill -9 of everything, beside buses without an outbox."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.events import chaos, throughput
from bench.events.chaos import Outcome, Plan
from bench.events.servers import OwnServer, nats_server, redis_server
from bench.figures import spread
from bench.machine import describe
from bench.report import Options, Report
from bench.stock import database
from bench.stock.contender import UnavailableError

FULL, QUICK = Plan(events=10_000, kills=200, seed=1), Plan(events=400, kills=8, seed=1)
FLOW, QUICK_FLOW = 30_000, 5_000

# (name, whether it is ours, way of the actors, server)
WAYS: tuple[tuple[str, str, Callable[[Path], OwnServer]], ...] = (
    ("nervio over redis", "ours", lambda folder: redis_server(folder, "always")),
    ("nervio over nats", "ours", nats_server),
    ("redis pub/sub", "redis pub/sub", lambda folder: redis_server(folder, "everysec")),
    ("redis streams", "redis streams", lambda folder: redis_server(folder, "everysec")),
    ("nats core", "nats core", nats_server),
)

LEGEND = {
    "nervio over redis": "outbox, relay, Redis Streams with appendfsync always, handlers with receipts",
    "nervio over nats": "the same over JetStream with the server's own sync_interval",
    "redis pub/sub": "commit, then PUBLISH; the subscriber writes what it hears",
    "redis streams": "commit, then XADD (default AOF); XREAD from $ and then the last id in memory",
    "nats core": "commit, then publish; the subscriber writes what it hears",
    "lost": "told in PostgreSQL and without an effect there",
    "doubled": "effects of an event beyond its first",
    "disordered": "effects that came after a later event's effect of the same key",
}


def run(options: Options) -> Report:
    """Kills and counts, then measures the flow."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> Report:
    plan = QUICK if options.quick else FULL
    table: list[dict[str, Any]] = []
    figures: dict[str, float] = {}
    broken: list[str] = []
    for name, way, make_server in WAYS:
        options.note(f"{name}: {plan.events} events, {plan.kills} kills")
        try:
            outcome = await _under_fire(plan, way, make_server, options.note)
        except UnavailableError as missing:
            table.append({"way": name, "note": str(missing)})
            continue
        row = {"lost": outcome.lost, "doubled": outcome.doubled, "disordered": outcome.disordered}
        kills = ", ".join(f"{n} {who.removeprefix('plain ')}" for who, n in sorted(outcome.kills.items()))
        table.append({"way": name, "told": outcome.told, **row, "killed": kills, "seconds": outcome.seconds})
        key = name.replace(" ", "_").replace("/", "")
        figures.update({f"{key}_{what}": count for what, count in row.items()})
        if way == "ours" and (any(row.values()) or outcome.told < plan.events):
            broken.append(f"{name}: {outcome.told} of {plan.events} told, {row}")
    flow = await _flow(options)
    figures.update(flow)
    table += [
        {"way": key.removesuffix("_per_second").replace("_", " "), "events/s": value} for key, value in flow.items()
    ]
    if flow:
        figures["throughput_ratio"] = flow["nervio_bus_per_second"] / flow["plain_streams_per_second"]
    ours = [key for name, way, _ in WAYS if way == "ours" for key in _keys(name)]
    return Report(
        bench="events",
        figures=figures,
        goals={**dict.fromkeys(ours, "== 0"), "throughput_ratio": ">= 1"},
        table=table,
        machine={**describe(), **await database.describe()},
        legend=LEGEND,
        broken=broken,
        notes=[
            "Leases last 1 s instead of 10 s here, so that somebody is at work again before the next kill.",
            "Flow: one process publishes and handles; every event is acknowledged; appendfsync always for all three.",
        ],
    )


def _keys(name: str) -> list[str]:
    return [f"{name.replace(' ', '_')}_{what}" for what in ("lost", "doubled", "disordered")]


async def _under_fire(
    plan: Plan, way: str, make_server: Callable[[Path], OwnServer], note: Callable[[str], None]
) -> Outcome:
    url = (await database.create("events")).replace("postgresql://", "postgresql+asyncpg://")
    try:
        with tempfile.TemporaryDirectory(prefix="nervio-bench-") as name:
            folder = Path(name)
            await chaos.prepare(url, ours=way == "ours")
            with make_server(folder / "server") as server:
                return await chaos.run(plan, server, url, way, folder, note)
    finally:
        await database.drop(chaos.plain(url))


async def _flow(options: Options) -> dict[str, float]:
    events = QUICK_FLOW if options.quick else FLOW
    measured: dict[str, list[float]] = {}
    for number in range(options.runs):
        options.note(f"flow {number + 1}/{options.runs}: {events} events")
        for name, measure in (
            ("nervio_bus", throughput.ours),
            ("plain_streams", throughput.plain),
            ("pipelined_streams", throughput.pipelined),
        ):
            with tempfile.TemporaryDirectory(prefix="nervio-bench-") as folder:
                try:
                    with redis_server(Path(folder), "always") as server:
                        measured.setdefault(name, []).append(await measure(server.url, events))
                except UnavailableError:
                    return {}
    return {f"{name}_per_second": spread(values).median for name, values in measured.items()}
