"""Roles go on for as long as the program does."""

import asyncio
import logging

import pytest

from nervio.runtime import roles
from nervio.runtime.roles import keep_on


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begins again soon, so that the suite need not wait."""
    monkeypatch.setattr(roles, "FIRST_PAUSE_SECONDS", 0.01)


async def test_work_that_ends_too_early_is_told_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    stopping, begun, running = asyncio.Event(), 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            lost = asyncio.get_running_loop().create_future()
            lost.cancel()
            await lost
        if begun == 2:
            return
        if begun == 3:
            raise OSError("the store is away")
        running.set()
        await stopping.wait()

    with caplog.at_level(logging.ERROR, logger="nervio.runtime.roles"):
        keeping = asyncio.create_task(keep_on("relay", work, stopping))
        async with asyncio.timeout(10):
            await running.wait()
            stopping.set()
            await keeping
    told = [(record.message, getattr(record, "reason", "")) for record in caplog.records]
    assert told == [
        ("role_ended", "something that it waited for was cancelled"),
        ("role_ended", "it returned"),
        ("role_failed", ""),
        ("role_ended", "the store is away"),
    ]
    assert begun == 4


async def test_a_role_that_is_cancelled_ends() -> None:
    running = asyncio.Event()

    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    keeping = asyncio.create_task(keep_on("relay", work, asyncio.Event()))
    await running.wait()
    keeping.cancel()
    await asyncio.wait([keeping], timeout=10)
    assert keeping.cancelled()
