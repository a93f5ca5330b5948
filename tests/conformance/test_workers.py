"""Every way to workers keeps the promises of the port: in process, and over MQTT and gRPC with a worker in its own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nervio.modules.fleet import api
from tests import services
from tests.conformance.fleets import Fleet, a_living_store, a_master, a_prefix, a_worker, in_process, remote, until


@pytest.fixture(params=["local", pytest.param("mqtt", marks=pytest.mark.services("mqtt"))])
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fleet]:
    """A master and one worker with two slots and a credit of four."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(a_living_store(tmp_path))
        if request.param == "local":
            made = await stack.enter_async_context(a_master(store, in_process(), largest_result_bytes=100_000))
            await made.joined("local")
            yield made
            return
        url, prefix = services.url("mqtt"), a_prefix()
        transport = remote(urlsplit(url).port or 1883, prefix)
        made = await stack.enter_async_context(a_master(store, transport, largest_result_bytes=100_000))
        worker = await stack.enter_async_context(a_worker(tmp_path, url, prefix, "--slots", "2", "--credit", "4"))
        await made.joined(worker.id)
        yield made


async def test_a_task_comes_back_with_its_result_and_what_it_cost(fleet: Fleet) -> None:
    task, attempts = await fleet.ended(await fleet.submit({"echo": {"name": "Año 12½"}}))

    assert (task.state, task.result) == ("done", {"name": "Año 12½"})
    assert task.usage["input_tokens"] == 1
    assert len(attempts) == 1


async def test_parts_of_an_answer_are_shown_in_their_order_and_before_the_result(fleet: Fleet) -> None:
    task_id = await fleet.submit({"echo": 1, "chunks": 300})
    await fleet.ended(task_id)

    assert [(chunk.task_id, chunk.n, chunk.text) for chunk in fleet.chunks] == [
        (task_id, n, f"part {n}") for n in range(300)
    ]


async def test_a_hundred_tasks_come_back_each_with_its_own_result(fleet: Fleet) -> None:
    ids = await fleet.submit_many([{"echo": n} for n in range(100)])
    ended = [(await fleet.ended(task_id))[0] for task_id in ids]

    assert [task.result for task in ended] == list(range(100))


async def test_a_worker_never_holds_more_than_it_said(fleet: Fleet) -> None:
    ids = await fleet.submit_many([{"sleep_seconds": 0.005}] * 60)
    (member,) = fleet.dispatcher.roster
    ending = asyncio.gather(*(fleet.ended(task_id) for task_id in ids))
    most = 0
    while not ending.done():
        most = max(most, len(member.held))
        await asyncio.sleep(0.001)

    assert [task.state for task, _ in ending.result()] == ["done"] * 60
    assert most == member.profile.credit


async def test_a_failure_says_why_and_is_not_tried_again_where_that_is_of_no_use(fleet: Fleet) -> None:
    task, attempts = await fleet.ended(await fleet.submit({"fail": "the picture is black"}))

    assert (task.state, task.error, len(attempts)) == ("failed", "the picture is black", 1)


async def test_a_payload_that_is_no_use_fails_with_an_error(fleet: Fleet) -> None:
    task, _ = await fleet.ended(await fleet.submit({"nothing": "known"}))

    assert task.state == "failed"
    assert "payload" in (task.error or "")


async def test_a_cancelled_task_frees_its_worker(fleet: Fleet) -> None:
    long = [await fleet.submit({"sleep_seconds": 60}) for _ in range(4)]
    (member,) = fleet.dispatcher.roster
    await until(lambda: len(member.held) >= 2)
    for task_id in long:
        await api.cancel_task(fleet.store.ctx, task_id)

    assert await fleet.result({"echo": "free again"}) == "free again"


async def test_a_result_that_is_too_large_is_refused_and_the_worker_goes_on(fleet: Fleet) -> None:
    task, _ = await fleet.ended(await fleet.submit({"repeat": 200_000}))

    assert task.state == "failed"
    assert "100000" in (task.error or "")
    assert await fleet.result({"echo": "still here"}) == "still here"
