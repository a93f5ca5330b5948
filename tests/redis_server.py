"""A redis-server of a test's own: to be flushed, killed and suspended, which the shared one must not be."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 10.0


class OwnRedis:
    """A server on a port of its own, without persistence; or one that has every command on the disk before it answers."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._keeps = ("--appendonly", "yes", "--appendfsync", "always") if durable else ("--appendonly", "no")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it on its port and waits until it answers."""
        program = shutil.which("redis-server")
        assert program is not None, 'mark the test with services("redis")'
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._keeps]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while self.say("PING") != "+PONG":
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)

    def say(self, command: str) -> str:
        """One command in one line, and the first line of the answer; empty where nobody answers."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(4096).decode().splitlines()[0]
        return ""

    def kill(self) -> None:
        """Ends it at once, if it runs; without persistence it forgets everything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@contextlib.contextmanager
def a_redis(*, durable: bool = False) -> Iterator[OwnRedis]:
    """A server that is running, ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="nervio-redis-") as folder:
        server = OwnRedis(Path(folder), durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()
