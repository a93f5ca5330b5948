"""The nightly backup: when it is due, that it is made beside the server, and what becomes of a failure."""

import asyncio
import logging
import time as wall
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from nervio.db.backup import list_backups, verify_backup
from nervio.kernel.time import SECOND
from nervio.runtime.daily_backup import FIRST_BACKUP_SECONDS, RETRY_SECONDS, DailyBackup, last_occurrence, newest_backup
from nervio.runtime.settings import Settings
from tests.builders import Store, a_store
from tests.runtime.program import settings_in


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-05T02:00Z", "2026-03-05T02:00Z"),
        ("2026-03-05T01:59Z", "2026-03-04T02:00Z"),
        ("2026-03-01T00:00Z", "2026-02-28T02:00Z"),
        ("2026-03-05T23:59Z", "2026-03-05T02:00Z"),
    ],
)
def test_the_last_time_it_was_two_at_night(now: str, expected: str) -> None:
    assert last_occurrence(time(2), datetime.fromisoformat(now)) == datetime.fromisoformat(expected)


def test_the_newest_backup_is_known_by_its_name(tmp_path: Path) -> None:
    assert newest_backup(tmp_path) is None
    for name in ("backup_20260301_020000.nervio", "backup_20260302_143000.nervio", "backup_2026XXXX_020000.nervio"):
        (tmp_path / name).touch()
    assert newest_backup(tmp_path) == datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def settings_of(store: Store, **backup: object) -> Settings:
    folder = Path(store.address).parent
    return settings_in(folder, backup={"directory": folder / "backups", **backup})


async def ended(daily: DailyBackup, store: Store) -> None:
    """Rounds until the process that was started has been looked after."""
    assert daily._process is not None
    deadline = wall.monotonic() + 120
    while daily._process is not None:
        assert wall.monotonic() < deadline
        await asyncio.sleep(0.1)
        await daily.run(store.ctx)


async def test_a_shop_that_was_never_saved_is_saved_and_then_every_night(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with a_store(tmp_path) as store:
        settings = settings_of(store)
        daily = DailyBackup(settings)
        await daily.run(store.ctx)
        assert daily._process is None, "a server that has just started has better things to do"
        store.clock.advance(FIRST_BACKUP_SECONDS)
        await daily.run(store.ctx)
        await ended(daily, store)
        assert [record.message for record in caplog.records if "daily_backup" in record.message] == [
            "daily_backup_started",
            "daily_backup_made",
        ]
        (made,) = list_backups(settings.backup.directory)
        assert verify_backup(made).rows > 0
        # The process stamped it with the real time; bring the store's clock there and past the next night.
        stamped = newest_backup(settings.backup.directory)
        assert stamped is not None
        store.clock.advance(stamped.timestamp() - store.clock.now() / SECOND)
        await daily.run(store.ctx)
        assert daily._process is None, "one a night is enough"
        store.clock.advance(24 * 3600)
        await daily.run(store.ctx)
        await ended(daily, store)


async def test_a_backup_that_fails_is_told_and_tried_again_an_hour_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_store(tmp_path) as store:
        folder = tmp_path / "backups"
        settings = settings_of(store)
        daily = DailyBackup(settings)
        await daily.run(store.ctx)
        store.clock.advance(FIRST_BACKUP_SECONDS)
        folder.touch()  # a file where the folder should be
        await daily.run(store.ctx)
        await ended(daily, store)
        (failure,) = [record for record in caplog.records if record.message == "daily_backup_failed"]
        assert str(folder) in failure.__dict__["error"]
        await daily.run(store.ctx)
        assert daily._process is None
        folder.unlink()
        store.clock.advance(RETRY_SECONDS)
        await daily.run(store.ctx)
        await ended(daily, store)
        assert len(list_backups(folder)) == 1


def test_it_may_be_turned_off(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert (settings.backup.daily, settings.backup.daily_at) == (True, "02:00")
    assert not settings_in(tmp_path, backup={"daily": False}).backup.daily
