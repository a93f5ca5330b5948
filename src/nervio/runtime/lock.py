"""One server process a data directory: the lock that holds the second one off, and where the first can be reached.

The lock is the operating system's, on an open file: it goes with its process however that ends, so nothing of a dead
process has to be cleaned away. `server.pid` and `server.json` only tell others who holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = "server.lock"
PID_FILE = "server.pid"
ADDRESS_FILE = "server.json"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The process that holds the data directory. `token` lets the same user's commands act through it."""

    pid: int
    url: str
    token: str


class DirectoryInUse(Exception):
    """Another process works on this data directory."""

    def __init__(self, directory: Path, holder: RunningServer | None) -> None:
        who = "another Nervio process" if holder is None else f"the Nervio with process id {holder.pid}"
        where = f" at {holder.url}" if holder is not None and holder.url else ""
        super().__init__(
            f"The data directory {directory} is in use by {who}{where}. On SQLite one process writes: use that one, stop "
            "it first, or choose another NERVIO_DATA_DIR. Several processes need PostgreSQL (NERVIO_DATABASE_URL)."
        )
        self.holder = holder


class DirectoryLock:
    """Holds a data directory for this process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Takes the lock. Raises DirectoryInUse, naming the holder."""
        self._directory.mkdir(parents=True, exist_ok=True)
        file = (self._directory / LOCK_FILE).open("ab")
        if not _try_lock(file):
            file.close()
            raise DirectoryInUse(self._directory, read_running(self._directory))
        self._file = file
        (self._directory / ADDRESS_FILE).unlink(missing_ok=True)
        write_private(self._directory / PID_FILE, str(os.getpid()))

    def announce(self, url: str) -> RunningServer:
        """Tells commands of the same user where the server answers."""
        running = RunningServer(os.getpid(), url, secrets.token_urlsafe(32))
        write_private(self._directory / ADDRESS_FILE, json.dumps(asdict(running)))
        return running

    def release(self) -> None:
        """Lets go; safe to call twice."""
        if self._file is None:
            return
        for name in (ADDRESS_FILE, PID_FILE):
            with contextlib.suppress(OSError):
                (self._directory / name).unlink(missing_ok=True)
        self._file.close()
        self._file = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Takes the lock for a while."""
        self.take()
        try:
            yield
        finally:
            self.release()


def find_running(directory: Path) -> RunningServer | None:
    """The server that holds the directory now and can be reached, or None. Files of a dead process do not count."""
    path = directory / LOCK_FILE
    try:
        file = path.open("ab")
    except OSError:
        return None
    with file:
        if _try_lock(file):
            return None
    return read_running(directory)


def read_running(directory: Path) -> RunningServer | None:
    """What the holder wrote about itself; meaningful only while the lock is held."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return RunningServer(**json.loads((directory / ADDRESS_FILE).read_text(encoding="utf-8")))
    with contextlib.suppress(OSError, ValueError):
        return RunningServer(int((directory / PID_FILE).read_text(encoding="utf-8")), "", "")
    return None


def write_private(path: Path, text: str) -> None:
    """Writes a file that only this user may read, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _try_lock(file: IO[bytes]) -> bool:
    """Whether the lock was free; it is held from then on until the file is closed."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
