"""Several processes that start at once on one empty database bring it to the schema once."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from nervio.db import migrate
from tests.modules.db.conftest import an_empty_postgres

STARTER = """
import asyncio, sys
from nervio.db import migrate
print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(migrate.upgrade(sys.argv[1])))
"""


async def test_processes_that_start_together_on_sqlite(tmp_path: Path) -> None:
    await _start_together(f"sqlite:///{tmp_path / 'nervio.db'}")


@pytest.mark.services("postgres")
async def test_processes_that_start_together_on_postgresql() -> None:
    async with an_empty_postgres() as url:
        await _start_together(url)


async def _start_together(url: str) -> None:
    starters = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, url, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        for _ in range(3)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert await asyncio.wait_for(starter.stdout.readline(), 60) == b"ready\n"
    ended = await asyncio.wait_for(asyncio.gather(*(starter.communicate(b"go\n") for starter in starters)), 60)
    for starter, (said, complaint) in zip(starters, ended, strict=True):
        assert starter.returncode == 0, complaint.decode()
        assert said.decode().strip() == migrate.newest()
    assert await migrate.current(url) == migrate.newest()
