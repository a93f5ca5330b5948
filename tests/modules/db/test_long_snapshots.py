"""Somebody who reads one state for a long time, a backup say, keeps no sale waiting."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from nervio.db import sqlite
from nervio.db.maintenance import Access, run_on_file
from tests.builders import a_store
from tests.modules.db.deeds import names, put

SNAPSHOT_SECONDS = 4.0
LONGEST_WAIT_SECONDS = 2.0  # the machine may be busy; waiting for the reader would take five


async def test_writes_go_on_although_the_log_cannot_start_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LARGEST_WAL_PAGES_BESIDE_TILL", 1)
    async with a_store(tmp_path) as store:
        await store.database.submit(put("before"))
        reading = asyncio.create_task(asyncio.to_thread(run_on_file, Path(store.address), _read_long, Access.SNAPSHOT))
        waits, n = [], 0
        while not reading.done():
            began = time.monotonic()
            await store.database.submit(put(f"n{n}"))
            waits.append(time.monotonic() - began)
            n += 1
            await asyncio.sleep(0.01)
        first, last = await reading
        assert first == last, "the snapshot saw one state"
        assert len(first) < n
        assert max(waits) < LONGEST_WAIT_SECONDS
        assert len(await store.database.read(names)) == n + 1


def _read_long(connection: Connection) -> tuple[list[str], list[str]]:
    first = names(connection)
    time.sleep(SNAPSHOT_SECONDS)
    return first, names(connection)
