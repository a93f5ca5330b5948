"""kill -9 of the seller, the relay, the handlers' process and the bus itself: nothing lost, nothing twice, keys in order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.events import chaos
from bench.events.servers import OwnServer, nats_server, redis_server
from bench.stock import database

PLAN = chaos.Plan(events=1_000, kills=20, seed=7)


def _redis(folder: Path) -> OwnServer:
    return redis_server(folder, "always")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make_server",
    [
        pytest.param(_redis, marks=pytest.mark.services("postgres", "redis"), id="redis"),
        pytest.param(nats_server, marks=pytest.mark.services("postgres", "nats"), id="nats"),
    ],
)
async def test_every_event_has_one_effect_whatever_is_killed(
    tmp_path: Path, make_server: Callable[[Path], OwnServer]
) -> None:
    url = (await database.create("kills")).replace("postgresql://", "postgresql+asyncpg://")
    try:
        await chaos.prepare(url, ours=True)
        with make_server(tmp_path / "server") as server:
            outcome = await chaos.run(PLAN, server, url, "ours", tmp_path, print)
    finally:
        await database.drop(chaos.plain(url))
    assert (outcome.told, outcome.effects) == (PLAN.events, PLAN.events)
    assert (outcome.lost, outcome.doubled, outcome.disordered) == (0, 0, 0)
    assert sum(outcome.kills.values()) == PLAN.kills
