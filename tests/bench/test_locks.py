"""A holder that was suspended past its lease wakes up and writes: a small run of what the bench does a thousand times."""

from pathlib import Path

import pytest

from bench.locks.run import Results, broken_promises, figures_of
from bench.locks.trials import Trials, some_holders
from nervio.db import migrate
from nervio.kernel.ids import new_id
from tests.builders import a_postgres_url, create_sqlite_file
from tests.redis_server import a_redis

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="there is no SIGSTOP")


async def test_a_late_holder_writes_nothing_on_sqlite(tmp_path: Path) -> None:
    await create_sqlite_file(tmp_path / "locks.db")
    async with some_holders(2, str(tmp_path / "locks.db"), "", new_id()) as holders:
        assert await holders.hold_trials("table", 4) == Trials(4, 0, 0)


@pytest.mark.services("postgres", "redis")
async def test_late_holders_write_nothing_where_redis_pys_lock_lets_them(postgres_url: str) -> None:
    with a_redis() as redis:
        async with a_postgres_url(postgres_url) as url:
            plain = url.replace("+asyncpg", "")
            assert await migrate.current(url) == migrate.newest()
            async with some_holders(3, plain, redis.url, new_id()) as holders:
                assert await holders.hold_trials("redis", 20) == Trials(20, 0, 0)
                peer = await holders.hold_trials("redis_py", 6)
                assert (peer.done, peer.accepted) == (6, 6), "or the trial shows nothing"


def test_a_stale_write_of_ours_is_a_broken_promise_and_the_peers_is_a_figure() -> None:
    results = Results(trials={"table": Trials(10, 0, 0), "redis": Trials(10, 0, 1), "redis_py": Trials(10, 10, 10)})
    assert broken_promises(results) == ["redis: 0 stale writes were accepted and 1 rows overwritten"]
    results.cycles["table", "alone"] = [100.0, 300.0, 200.0]
    figures = figures_of(results)
    assert figures["stale_writes_accepted_redis_py"] == 10
    assert figures["cycles_per_s_alone_table"] == 200
