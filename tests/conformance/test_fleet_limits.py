"""A quota that several processes race for is never exceeded, one that is killed leaves no hole in it, and no cost is lost."""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nervio.kernel.time import DAY
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Limits, SubmitTask
from tests.builders import NOON, SetClock, Store, a_postgres_store, open_postgres
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report
from tests.modules.fleet.spending import a_usage, check_sums

pytestmark = pytest.mark.services("postgres")

ROOT = Path(__file__).resolve().parents[2]
CALLERS = 32
KINDS = ("amber", "birch")
"""Of each process; it makes five of its own."""


@contextlib.asynccontextmanager
async def customers(store: Store, count: int, tasks: int) -> AsyncIterator[list[Process]]:
    """Processes that have the store open and wait for a line to begin."""
    arguments = ("-m", "tests.conformance.fleet_customer", store.address, store.ctx.tenant_id, str(CALLERS), str(tasks))
    started = [
        await asyncio.create_subprocess_exec(sys.executable, *arguments, kind, stdin=PIPE, stdout=PIPE, cwd=ROOT)
        for kind in KINDS[:count]
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert json.loads(await asyncio.wait_for(process.stdout.readline(), 60)) == {"ready": True}
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def begin(processes: list[Process]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")


async def told(process: Process) -> Counter[str]:
    assert process.stdout is not None
    return Counter(json.loads(await asyncio.wait_for(process.stdout.readline(), 60)))


async def counted(store: Store) -> tuple[int, int]:
    """(tasks there are, tasks that the sums say)."""
    used = await fleet.read_usage(store.ctx, "2026-03-01", "2026-03-01")
    tasks = [
        await fleet.list_tasks(store.ctx, kind=f"{kind}{n}", limit=fleet.LONGEST_PAGE)
        for kind in KINDS
        for n in range(5)
    ]
    return sum(len(one) for one in tasks), sum(one.submitted for one in used)


async def test_64_callers_of_two_processes_get_exactly_the_quota(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        await fleet.change_limits(store.ctx, Limits(tasks_per_day=500, tasks_per_month=777))
        async with customers(store, 2, 20) as processes:
            begin(processes)
            found = [await told(process) for process in processes]
        together = found[0] + found[1]
        assert together == {"taken": 500, "tasks_per_day_reached": 2 * CALLERS * 20 - 500}
        assert all(one["taken"] for one in found), "both had a part in it, or nothing raced"
        assert await counted(store) == (500, 500)


async def test_a_process_that_is_killed_in_the_race_takes_no_room_that_it_did_not_use(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        await fleet.change_limits(store.ctx, Limits(tasks_per_day=400))
        async with customers(store, 2, 100) as processes:
            begin(processes)
            while (await counted(store))[1] < 50:
                pass
            processes[0].kill()
            assert (await told(processes[1]))["tasks_per_day_reached"] > 0
        assert await counted(store) == (400, 400)


async def test_two_masters_that_claim_at_once_start_no_more_than_may_run(postgres_url: str) -> None:
    """Each on connections of its own and with tasks of a kind of its own: all that they share is the row of the limits."""
    async with a_postgres_store(postgres_url) as store, open_postgres(store.address, store.clock) as second:
        await fleet.change_limits(store.ctx, Limits(most_running=5))
        for n in range(60):
            await fleet.submit_task(store.ctx, SubmitTask(KINDS[n % 2], "{}"))
        twin = replace(store, database=second, ctx=replace(store.ctx, database=second))
        hands = {"a": Hands("a"), "b": Hands("b")}
        async with a_dispatcher(store, hands["a"]) as one, a_dispatcher(twin, hands["b"]) as other:
            masters = {"a": one, "b": other}
            for (name, master), kind in zip(masters.items(), KINDS, strict=True):
                master.joined(hands[name], a_profile(name, kinds=(kind,), slots=20, credit=20))
            done, shares = 0, Counter[str]()
            while done < 60:
                await asyncio.gather(*(master.run_once() for master in masters.values()))
                given = {name: hands[name].take(name) for name in masters}
                running = sum(len(tasks) for tasks in given.values())
                assert 0 < running <= 5
                assert running == (await fleet.get_limits(store.ctx)).running
                shares.update({name: len(tasks) for name, tasks in given.items()})
                done += running
                for name, master in masters.items():
                    await master.report(name, [a_report(task) for task in given[name]])
        assert shares.total() == 60


async def test_two_masters_that_take_results_at_once_lose_no_millionth(postgres_url: str) -> None:
    """The clock of one is past midnight already: they share no sum of a day, and the meter alone keeps them apart."""
    tomorrow = SetClock(NOON + DAY // 2)
    async with a_postgres_store(postgres_url) as store, open_postgres(store.address, tomorrow) as second:
        twin = replace(store, database=second, clock=tomorrow, ctx=replace(store.ctx, database=second, clock=tomorrow))
        for _ in range(120):
            await fleet.submit_task(store.ctx, SubmitTask("chat", "{}", cache=False))
        hands = {"a": Hands("a"), "b": Hands("b")}
        async with a_dispatcher(store, hands["a"]) as one, a_dispatcher(twin, hands["b"]) as other:
            masters = {"a": one, "b": other}
            for name, master in masters.items():
                master.joined(hands[name], a_profile(name, slots=4, credit=4))
            paid, shares = Counter[str](), Counter[str]()
            while shares.total() < 120:
                await asyncio.gather(*(master.run_once() for master in masters.values()))
                reports = []
                for name, master in masters.items():
                    for task in hands[name].take(name):
                        shares[name] += 1
                        currency = ("USD", "ARS")[shares.total() % 2]
                        paid[currency] += 3_333 * shares.total()
                        usage = a_usage(3_333 * shares.total(), currency)
                        reports.append(master.report(name, [a_report(task, usage=usage)]))
                await asyncio.gather(*reports)
                await check_sums(store)
        assert all(shares.values()) and len(shares) == 2
        assert {key[2]: micros for key, micros in (await check_sums(store)).items()} == paid
