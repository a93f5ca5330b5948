"""The background jobs of a shop, worked off by the program's own runner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nervio.modules.jobs import api as jobs
from nervio.modules.jobs.contracts import JobRecord
from tests.modules.console.serving import Shop


@asynccontextmanager
async def at_work(shop: Shop) -> AsyncIterator[None]:
    """The program's own runner, running."""
    app, stopping = shop.program.app, asyncio.Event()
    bell = app.database.queued.listener()
    running = asyncio.create_task(app.make_job_runner().run(stopping, bell))
    try:
        yield
    finally:
        stopping.set()
        bell.set()
        await running


async def until_ended(shop: Shop, job_id: str) -> JobRecord:
    """The job once it has ended."""
    async with asyncio.timeout(120):
        while (job := await jobs.get_job(shop.ctx, job_id)).ended_at is None:  # noqa: ASYNC110 (looked up in the store)
            await asyncio.sleep(0.01)
    return job
