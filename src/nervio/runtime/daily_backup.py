"""The backup of every night, made by a process of its own so that no sale waits for it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from nervio.db.backup import list_backups
from nervio.db.context import Ctx
from nervio.kernel.time import Instant, to_datetime
from nervio.runtime.settings import Settings, variable_of

log = logging.getLogger(__name__)

CHECK_SECONDS = 60.0
FIRST_BACKUP_SECONDS = 3600.0
"""A shop that was never saved is saved after this, whatever the hour: its machine may be off every night."""
RETRY_SECONDS = 3600.0
NICENESS = 10


class DailyBackup:
    """Looks whether a backup is due and starts it; the next rounds look how it went.

    A night when the machine was off is made up for as soon as it is on again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._at = time.fromisoformat(settings.backup.daily_at)
        self._process: subprocess.Popen[bytes] | None = None
        self._began: float | None = None
        self._not_before = 0.0

    async def run(self, ctx: Ctx) -> None:
        """One round; never waits for the backup itself."""
        now = ctx.clock.monotonic()
        if self._began is None:
            self._began = now
        if self._process is not None:
            self._look_after(self._process, now)
        elif now >= self._not_before and self._is_due(ctx.clock.now(), now - self._began):
            self._process = self._start()

    def _is_due(self, now: Instant, running_seconds: float) -> bool:
        newest = newest_backup(self._settings.backup.directory)
        if newest is None:
            return running_seconds >= FIRST_BACKUP_SECONDS
        return newest < last_occurrence(self._at, to_datetime(now).astimezone())

    def _start(self) -> subprocess.Popen[bytes]:
        settings = self._settings
        url = settings.database_url
        environment = {
            **os.environ,
            variable_of(("data_dir",)): str(settings.data_dir.absolute()),
            variable_of(("database_url",)): "" if url is None else url.get_secret_value(),
        }
        folder, keep = str(settings.backup.directory), str(settings.backup.keep_days)
        log.info("daily_backup_started", extra={"directory": folder})
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "nervio", "backup", "--to", folder, "--keep-days", keep, "--json"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # It outlives a server that is stopped meanwhile: half a backup would be of no use.
            start_new_session=True,
        )
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        return process

    def _look_after(self, process: subprocess.Popen[bytes], now: float) -> None:
        if process.poll() is None:
            return
        said, complaint = (part.decode(errors="replace").strip() for part in process.communicate())
        self._process = None
        if process.returncode == 0:
            log.info("daily_backup_made", extra={"backup": said})
        else:
            self._not_before = now + RETRY_SECONDS
            log.error(
                "daily_backup_failed",
                extra={"exit_code": process.returncode, "error": complaint[-2000:], "again_in_seconds": RETRY_SECONDS},
            )


def newest_backup(folder: Path) -> datetime | None:
    """When the newest complete backup in a folder was begun."""
    for path in list_backups(folder):
        with contextlib.suppress(ValueError):
            return datetime.strptime(path.name[7:22], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    return None


def last_occurrence(at: time, now: datetime) -> datetime:
    """The last moment, not after `now`, when the clock on the wall of `now`'s zone showed `at`."""
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
