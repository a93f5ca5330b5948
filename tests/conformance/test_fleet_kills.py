"""Masters of the fleet killed at random: every task is done, and exactly one result of each is taken."""

import asyncio
import contextlib
import json
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import SubmitTask, TaskState
from nervio.modules.fleet.models import fleet_attempts
from tests.builders import Store, a_postgres_store, a_store

ROOT = Path(__file__).resolve().parents[2]
TASKS = 600
KILLS = 8
RETRIES = 20


async def a_master(store: Store, history: Path) -> Process:
    """A process that has begun to work."""
    arguments = ("-m", "tests.conformance.fleet_master", store.address, str(history))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"working\n"
    return process


async def kill(process: Process) -> None:
    """Ends it without a word."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


async def submit(store: Store) -> list[str]:
    """Tasks that are numbers to be doubled."""
    tasks = [SubmitTask("double", json.dumps({"n": n}), retries=RETRIES) for n in range(TASKS)]
    outcomes = await fleet.submit_tasks(store.ctx, [(task, None) for task in tasks])
    return [outcome.id for outcome in outcomes if not isinstance(outcome, BaseException)]


async def count_done(store: Store) -> int:
    """Tasks that are done, by the tenant's sums."""
    return sum(one.done for one in await fleet.read_usage(store.ctx, "2000-01-01", "2100-01-01"))


async def judge(store: Store, ids: list[str], history: str) -> None:
    """Every task is done with the right result, one attempt of it and no more was taken, and the sums agree."""
    for n, task_id in enumerate(ids):
        task, attempts = await fleet.get_task(store.ctx, task_id)
        assert (task.state, task.result) == (TaskState.DONE, 2 * n)
        assert [attempt.ending.value for attempt in attempts].count("done") == 1
    assert await count_done(store) == TASKS
    taken = await store.database.read(
        lambda c: c.execute(
            select(func.count()).select_from(fleet_attempts).where(fleet_attempts.c.ending == "done")
        ).scalar_one()
    )
    assert taken == TASKS
    begun = Counter(line.split()[0] for line in history.splitlines())
    assert begun.keys() == set(ids)
    assert sum(begun.values()) > TASKS, "no kill ever met a task that was under way: the proof proves nothing"


async def until_done(store: Store, seconds: float) -> None:
    """Waits until all is done."""
    async with asyncio.timeout(seconds):
        while await count_done(store) < TASKS:  # noqa: ASYNC110 (another process does it)
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_one_master_killed_again_and_again_on_sqlite(tmp_path: Path) -> None:
    draw = random.Random(11)
    history = tmp_path / "history"
    async with a_store(tmp_path) as store:
        ids = await submit(store)
        for _ in range(KILLS):
            master = await a_master(store, history)
            await asyncio.sleep(draw.uniform(0.02, 0.5))
            await kill(master)
        master = await a_master(store, history)
        try:
            await until_done(store, 60)
        finally:
            await kill(master)
        await judge(store, ids, await asyncio.to_thread(history.read_text, encoding="utf-8"))


@pytest.mark.services("postgres")
@pytest.mark.slow
async def test_two_masters_killed_in_turn_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    draw = random.Random(12)
    history = tmp_path / "history"
    async with a_postgres_store(postgres_url) as store:
        masters = [await a_master(store, history) for _ in range(2)]
        ids = await submit(store)
        try:
            for n in range(KILLS):
                await asyncio.sleep(draw.uniform(0.02, 0.4))
                await kill(masters[n % 2])
                masters[n % 2] = await a_master(store, history)
            await until_done(store, 60)
        finally:
            for master in masters:
                await kill(master)
        await judge(store, ids, await asyncio.to_thread(history.read_text, encoding="utf-8"))
