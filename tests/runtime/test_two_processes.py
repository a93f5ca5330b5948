"""Two processes on one PostgreSQL: one shop, one stop, one order of facts."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nervio.db import request_counts
from tests.builders import SetClock, a_postgres_url, open_postgres
from tests.runtime.program import Server, a_server, nervio
from tests.runtime.test_server import SALE, furnish, ok, on_hand


@pytest.fixture
async def shop_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own."""
    async with a_postgres_url(postgres_url) as url:
        yield url


@contextmanager
def two_servers(folder: Path, url: str, ports: tuple[int, int]) -> Iterator[tuple[Server, Server]]:
    """One process that does everything and one that only answers."""
    given = {"DATABASE_URL": url.replace("postgresql+asyncpg", "postgresql")}
    with ExitStack() as stack:
        first = stack.enter_context(a_server(folder, ports[0], "up", **given))
        second = stack.enter_context(a_server(folder, ports[1], "serve", "--roles", "web", **given))
        yield first, second


@pytest.mark.slow
@pytest.mark.services("postgres")
async def test_two_processes_are_one_shop(tmp_path: Path, shop_url: str) -> None:
    await asyncio.to_thread(trade, tmp_path, shop_url)


def trade(folder: Path, url: str) -> None:
    with two_servers(folder, url, (a_port(), a_port())) as (first, second):
        headers = first.login()
        furnish(first, headers, units=40)
        # A login of one is a login of the other, and forty units are sold once whoever sells them.
        sale = {
            **SALE,
            "lines": [{"sku": "YER-500", "quantity_milli": 1000}],
            "payments": [{"kind": "cash", "amount_minor": 285000}],
        }
        with ThreadPoolExecutor(8) as tills:
            answers = list(
                tills.map(lambda n: (first, second)[n % 2].call("POST", "/api/sales", sale, headers), range(60))
            )
        assert sorted(answer.status for answer in answers) == [201] * 40 + [409] * 20
        assert on_hand(second, headers) == 0
        furnish(second, headers, units=10)
        guesses_are_counted_together(first, second)

        # Stopped at one, nothing commits at the other from the acknowledgement on.
        ok(second.call("POST", "/api/admin/emergency/freeze", {"reason": "drill"}, headers), 200)
        assert first.call("POST", "/api/sales", SALE, headers).status == 503
        assert on_hand_after_thaw(first, second, headers) == 10_000
        refused = json.loads(nervio(folder, "ledger", "verify", "--json", DATABASE_URL=url).stdout)
        assert refused["verified"]

        # The first is killed with its leases; the other one goes on selling.
        first.process.kill()
        first.process.wait(10)
        assert second.call("POST", "/api/sales", sale, headers).status == 201


@pytest.mark.slow
@pytest.mark.services("postgres")
async def test_what_each_answers_is_known_to_the_other(tmp_path: Path, shop_url: str) -> None:
    """The rate of errors is that of both: what only answers is heard of by what evaluates the rules, through the database."""
    async with open_postgres(shop_url, SetClock()) as database:
        with two_servers(tmp_path, shop_url, (a_port(), a_port())) as servers:
            for server, asked in zip(servers, (5, 40), strict=True):
                for _ in range(asked):
                    await asyncio.to_thread(server.call, "GET", "/api/health")
            deadline = time.monotonic() + 30
            found: list[int] = []
            while len(found) < 2 or found[1] < 40:
                assert time.monotonic() < deadline, found
                await asyncio.sleep(0.2)
                found = sorted(requests for requests, _ in (await database.read(request_counts.read_all)).values())
            assert found[0] >= 5


def guesses_are_counted_together(first: Server, second: Server) -> None:
    body = {"email": "nobody@shop.test", "password": "a wrong password"}
    with ThreadPoolExecutor(8) as guessers:
        answers = list(
            guessers.map(lambda n: (first, second)[n % 2].call("POST", "/api/auth/login", body).status, range(16))
        )
    assert sorted(answers) == [401] * 10 + [429] * 6


def on_hand_after_thaw(first: Server, second: Server, headers: dict[str, str]) -> int:
    ok(second.call("POST", "/api/admin/emergency/unfreeze", {"reason": "over"}, headers), 200)
    deadline = time.monotonic() + 10
    while first.call("GET", "/api/stock/levels", headers=headers).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    return on_hand(first, headers)


def a_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
