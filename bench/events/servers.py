"""Servers of one's own, that may be killed and started again on the same port with the same files."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from bench.stock.contender import UnavailableError

START_SECONDS = 15.0


class OwnServer:
    """A redis-server or nats-server in a folder."""

    def __init__(self, kind: str, folder: Path, *settings: str) -> None:
        program = shutil.which(kind) or shutil.which(kind, path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise UnavailableError(f"{kind} is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        is_redis = kind == "redis-server"
        where = (
            ("--port", str(self.port), "--bind", "127.0.0.1") if is_redis else ("-a", "127.0.0.1", "-p", str(self.port))
        )
        self.url = f"redis://127.0.0.1:{self.port}/0" if is_redis else f"nats://127.0.0.1:{self.port}"
        self._command = [program, *where, *settings]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it listens."""
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise UnavailableError(f"{self._command[0]} does not answer") from None
                time.sleep(0.01)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def redis_server(folder: Path, sync: str) -> OwnServer:
    """Redis with an append-only file that is flushed `always` or `everysec` (the default)."""
    return OwnServer("redis-server", folder, "--save", "", "--appendonly", "yes", "--appendfsync", sync)


def nats_server(folder: Path) -> OwnServer:
    """NATS with JetStream in the folder."""
    return OwnServer("nats-server", folder, "-js", "-sd", str(folder))
