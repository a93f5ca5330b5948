"""A bus that is away, killed or emptied: the shop goes on, events wait in the outbox, and all of them arrive."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nervio.adapters.bus import redis as redis_bus
from nervio.events.sales import SALE_RECORDED
from nervio.ports.bus import DeadLetter, Event, Group
from nervio.runtime import relay
from nervio.runtime.event_operations import replay_events
from tests.redis_server import OwnRedis, a_redis
from tests.runtime.program import Program, a_program

PATIENCE_SECONDS = 30.0
ROLES = ("web", "sequencer", "relay")

pytestmark = pytest.mark.services("redis")


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that will be so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.02)


class Shop:
    """A program whose sales a group and a listener hear of."""

    def __init__(self, program: Program, headers: dict[str, str]) -> None:
        self.program, self.headers = program, headers
        self.sold: list[str] = []
        self.heard: list[str] = []
        self.listened: set[str] = set()
        program.app.bus.subscribe(SALE_RECORDED, self._handle, Group("test.shop", self._bury))
        program.app.bus.subscribe(SALE_RECORDED, self._listen)

    async def sell(self) -> None:
        """Sells one; the sale waits for no bus."""
        began = time.monotonic()
        reply = await self.program.client.post("/test/simulate-sale", json={"sku": "A-1"}, headers=self.headers)
        assert reply.status_code == 200, reply.text
        assert time.monotonic() - began < 2
        self.sold.append(reply.json()["ticket_id"])

    async def health(self) -> tuple[int, str, str]:
        """Status code, status, and what is said of Redis."""
        reply = await self.program.client.get("/api/health")
        return reply.status_code, reply.json()["status"], reply.json()["checks"]["redis"]["status"]

    async def shows(self, code: int, status: str, redis: str) -> None:
        """Waits until the health says so; it looks at servers beside the database every other second."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.health() != (code, status, redis):  # noqa: ASYNC110 (what is waited for has no event)
                await asyncio.sleep(0.05)

    async def all_arrived(self) -> None:
        """Waits until every sale was handled, in order."""
        await until(lambda: set(self.heard) >= set(self.sold))
        assert list(dict.fromkeys(self.heard)) == self.sold

    async def _handle(self, event: Event) -> None:
        self.heard.append(event.payload["ticket_id"])

    async def _listen(self, event: Event) -> None:
        self.listened.add(event.payload["ticket_id"])

    async def _bury(self, letter: DeadLetter) -> None:
        raise AssertionError(letter)


@asynccontextmanager
async def a_shop(folder: Path, redis: OwnRedis) -> AsyncIterator[Shop]:
    """A shop with a product, over a Redis of its own."""
    async with a_program(folder, roles=ROLES, redis_url=redis.url) as program:
        headers = await program.login()
        post = program.client.post
        await post("/api/locations", json={"code": "MAIN", "name": "Main"}, headers=headers)
        product = {"sku": "A-1", "name": "Yerba", "unit_price_minor": 500, "tracked": False}
        await post("/api/products", json={"products": [product]}, headers=headers)
        yield Shop(program, headers)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again soon, so that the suite need not wait."""
    monkeypatch.setattr(redis_bus, "LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(relay, "LONGEST_PAUSE_SECONDS", 0.5)


async def test_a_shop_starts_sells_and_stops_without_its_redis(tmp_path: Path) -> None:
    with a_redis() as redis:
        redis.kill()
        async with a_shop(tmp_path, redis) as shop:
            await shop.sell()
            await shop.shows(200, "degraded", "failed")
            alone = await shop.program.client.get("/api/health/redis")
            assert alone.status_code == 503
            assert (await shop.program.client.get("/api/health/nats")).json()["status"] == "not_configured"
            began = time.monotonic()
        assert time.monotonic() - began < 5, "the stop waits for no bus"


async def test_what_was_sold_while_redis_was_killed_arrives_when_it_is_back(tmp_path: Path) -> None:
    with a_redis() as redis:
        async with a_shop(tmp_path, redis) as shop:
            await shop.sell()
            await shop.all_arrived()
            await shop.shows(200, "ok", "ok")
            for _ in range(2):
                redis.kill()
                for _ in range(3):
                    await shop.sell()
                await shop.shows(200, "degraded", "failed")
                redis.start()  # empty: it kept nothing
                await shop.all_arrived()
            await shop.shows(200, "ok", "ok")
            await shop.sell()
            await until(lambda: shop.sold[-1] in shop.listened)


async def test_a_redis_that_was_emptied_behind_our_back_is_noticed_by_the_next_sale(tmp_path: Path) -> None:
    with a_redis() as redis:
        async with a_shop(tmp_path, redis) as shop:
            await shop.sell()
            await shop.all_arrived()
            redis.say("FLUSHALL")
            await shop.sell()
            await shop.sell()
            await shop.all_arrived()


async def test_an_operator_fills_a_bus_again_from_a_position(tmp_path: Path) -> None:
    with a_redis() as redis:
        async with a_shop(tmp_path, redis) as shop:
            for _ in range(3):
                await shop.sell()
            await shop.all_arrived()
            before = len(shop.heard)
            done = await replay_events(shop.program.app, {"from_position": 1}, lambda *_: None)
            assert done["to_position"] >= 3
            await until(lambda: len(shop.heard) == before + 3)
            assert shop.heard[before:] == shop.sold, "again, in order"
            await shop.sell()
            await shop.all_arrived()
            figures = (await shop.program.client.get("/metrics")).text
            assert 'nervio_events_published_total{type="sale_recorded.v1"}' in figures
            assert "nervio_events_lag_positions 0.0" in figures
