"""A bus that is away, killed or emptied: the shop goes on, events wait in the outbox, and all of them arrive."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from bench.events.servers import OwnServer
from nervio.adapters.bus import nats as nats_bus
from nervio.adapters.bus import redis as redis_bus
from nervio.events.sales import SALE_RECORDED
from nervio.ports.bus import DeadLetter, Event, Group
from nervio.runtime import relay
from nervio.runtime.event_operations import replay_events
from tests.redis_server import a_redis
from tests.runtime.program import Program, a_program

PATIENCE_SECONDS = 30.0
ROLES = ("web", "sequencer", "relay")

KINDS = [
    pytest.param("redis", marks=pytest.mark.services("redis")),
    pytest.param("nats", marks=pytest.mark.services("nats")),
    pytest.param("emptied nats", marks=pytest.mark.services("nats")),
]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that will be so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.02)


class Server(Protocol):
    """A Redis or NATS of a test's own."""

    url: str

    def start(self) -> None: ...

    def kill(self) -> None: ...


class ForgetfulNats(OwnServer):
    """A NATS that loses its files with its life."""

    def start(self) -> None:
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        super().start()


@contextmanager
def a_server(kind: str, folder: Path) -> Iterator[Server]:
    """A server that is running: Redis, which keeps nothing, NATS, which keeps all, or a NATS that keeps nothing."""
    if kind == "redis":
        with a_redis() as redis:
            yield redis
        return
    make = ForgetfulNats if kind == "emptied nats" else OwnServer
    with make("nats-server", folder / "server", "-js", "-sd", str(folder / "server")) as server:
        yield server


class Shop:
    """A program whose sales a group and a listener hear of."""

    def __init__(self, program: Program, headers: dict[str, str], service: str) -> None:
        self.program, self.headers, self.service = program, headers, service
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
        """Status code, status, and what is said of the server."""
        reply = await self.program.client.get("/api/health")
        return reply.status_code, reply.json()["status"], reply.json()["checks"][self.service]["status"]

    async def shows(self, code: int, status: str, server: str) -> None:
        """Waits until the health says so; it looks at servers beside the database every other second."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.health() != (code, status, server):  # noqa: ASYNC110 (what is waited for has no event)
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
async def a_shop(folder: Path, server: Server) -> AsyncIterator[Shop]:
    """A shop with a product, over a server of its own."""
    service = server.url.partition(":")[0]
    async with a_program(folder, roles=ROLES, **{f"{service}_url": server.url}) as program:
        headers = await program.login()
        post = program.client.post
        await post("/api/locations", json={"code": "MAIN", "name": "Main"}, headers=headers)
        product = {"sku": "A-1", "name": "Yerba", "unit_price_minor": 500, "tracked": False}
        await post("/api/products", json={"products": [product]}, headers=headers)
        yield Shop(program, headers, service)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again soon, so that the suite need not wait."""
    monkeypatch.setattr(redis_bus, "LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(nats_bus, "LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(relay, "LONGEST_PAUSE_SECONDS", 0.5)


@pytest.mark.parametrize("kind", KINDS[:2])
async def test_a_shop_starts_sells_and_stops_without_its_server(tmp_path: Path, kind: str) -> None:
    with a_server(kind, tmp_path) as server:
        server.kill()
        async with a_shop(tmp_path, server) as shop:
            await shop.sell()
            await shop.shows(200, "degraded", "failed")
            alone = await shop.program.client.get(f"/api/health/{shop.service}")
            assert alone.status_code == 503
            other = {"redis": "nats", "nats": "redis"}[shop.service]
            assert (await shop.program.client.get(f"/api/health/{other}")).json()["status"] == "not_configured"
            began = time.monotonic()
        assert time.monotonic() - began < 5, "the stop waits for no bus"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_sold_while_the_server_was_killed_arrives_when_it_is_back(tmp_path: Path, kind: str) -> None:
    with a_server(kind, tmp_path) as server:
        async with a_shop(tmp_path, server) as shop:
            await shop.sell()
            await shop.all_arrived()
            await shop.shows(200, "ok", "ok")
            for _ in range(2):
                server.kill()
                for _ in range(3):
                    await shop.sell()
                await shop.shows(200, "degraded", "failed")
                server.start()
                await shop.all_arrived()
            await shop.shows(200, "ok", "ok")
            await shop.sell()
            await until(lambda: shop.sold[-1] in shop.listened)


@pytest.mark.services("redis")
async def test_a_redis_that_was_emptied_behind_our_back_is_noticed_by_the_next_sale(tmp_path: Path) -> None:
    with a_redis() as redis:
        async with a_shop(tmp_path, redis) as shop:
            await shop.sell()
            await shop.all_arrived()
            redis.say("FLUSHALL")
            await shop.sell()
            await shop.sell()
            await shop.all_arrived()


@pytest.mark.services("redis")
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
