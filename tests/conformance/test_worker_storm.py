"""Workers and the broker are killed again and again while tasks run: each task has one result, and it is its own."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nervio.modules.fleet.contracts import AttemptEnding
from tests.conformance.fleets import a_living_store, a_master, a_worker, remote
from tests.mosquitto import a_mosquitto

pytestmark = [pytest.mark.services("mqtt"), pytest.mark.slow]

TASKS = 300
KILLS = 12


async def test_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path, free_port: int) -> None:
    chance = random.Random(7)
    url = f"mqtt://127.0.0.1:{free_port}"
    options = ("--slots", "2", "--credit", "4")
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(a_mosquitto(tmp_path, free_port))
        store = await stack.enter_async_context(a_living_store(tmp_path))
        fleet = await stack.enter_async_context(a_master(store, remote(free_port, "upb"), lease_seconds=3.0))
        names = ["a", "b", "c"]
        running = {
            name: await stack.enter_async_context(a_worker(tmp_path, url, "upb", *options, worker_id=name))
            for name in names
        }
        ids = [await fleet.submit({"echo": n, "sleep_seconds": 0.05}, retries=20) for n in range(TASKS)]
        for kill in range(KILLS):
            await asyncio.sleep(0.5)
            name = chance.choice(names)
            running[name].kill()
            running[name] = await stack.enter_async_context(a_worker(tmp_path, url, "upb", *options, worker_id=name))
            if kill == KILLS // 2:
                broker.kill()
                await asyncio.sleep(0.3)
                broker.start()
        async with asyncio.timeout(90):
            ended = [await fleet.ended(task_id) for task_id in ids]

    assert [task.result for task, _ in ended] == list(range(TASKS))
    assert [[attempt.ending for attempt in attempts].count(AttemptEnding.DONE) for _, attempts in ended] == [1] * TASKS
