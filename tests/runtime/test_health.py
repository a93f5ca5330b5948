"""The state of servers beside the database: shown at once, whatever they do, and asked seldom."""

import asyncio

import pytest

from nervio.runtime.http import health
from nervio.runtime.http.health import Services


class Server:
    """One that answers, hangs or refuses, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.hangs = False
        self.is_away = False

    async def ping(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise ConnectionRefusedError


async def test_whoever_asks_often_opens_one_connection_and_never_waits_for_a_server_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.2)
    server = Server()
    services = Services({"redis": server.ping})
    seen = [await services.checks() for _ in range(50)]
    assert [check["redis"].status for check in seen] == ["ok"] * 50
    assert server.asked == 1
    server.hangs = True
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    looking = asyncio.get_running_loop().time()
    assert (await services.checks())["redis"].status == "ok", "the last look, while the next is under way"
    assert asyncio.get_running_loop().time() - looking < health.CHECK_SECONDS
    async with asyncio.timeout(10):
        while (await services.checks())["redis"].status != "failed":  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
    server.hangs = False
    async with asyncio.timeout(10):
        while (await services.checks())["redis"].status != "ok":  # noqa: ASYNC110 (the same)
            await asyncio.sleep(0.01)


async def test_the_first_to_ask_hears_what_is() -> None:
    away, here = Server(), Server()
    away.is_away = True
    checks = await Services({"nats": away.ping, "redis": here.ping}).checks()
    assert {name: check.status for name, check in checks.items()} == {"nats": "failed", "redis": "ok"}
    assert checks["nats"].detail == "ConnectionRefusedError"
    assert await Services({}).checks() == {}
