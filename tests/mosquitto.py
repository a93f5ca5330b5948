"""A Mosquitto of a test's own, from Debian's binary: to be killed, restarted and locked, which the shared one must not be."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 10.0
PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class OwnMosquitto:
    """A broker on a port of its own that keeps nothing over a restart. `lines` are added to its settings."""

    def __init__(self, folder: Path, port: int, lines: str = "") -> None:
        self.port, self._folder = port, folder
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            lines or f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="utf-8"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        program = shutil.which("mosquitto", path=PATH)
        assert program is not None, 'mark the test with services("mqtt")'
        with (self._folder / "mosquitto.log").open("ab") as output:
            self._process = subprocess.Popen([program, "-c", str(self._settings)], stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert time.monotonic() < deadline, (self._folder / "mosquitto.log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it at once, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def a_mosquitto(folder: Path, port: int, lines: str = "") -> Iterator[OwnMosquitto]:
    """A broker that is running, ended afterwards."""
    broker = OwnMosquitto(folder, port, lines)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def a_password_file(folder: Path, users: dict[str, str]) -> Path:
    """A file of users and passwords as Mosquitto wants it."""
    file = folder / "passwords"
    program = shutil.which("mosquitto_passwd", path=PATH)
    assert program is not None, 'mark the test with services("mqtt")'
    file.touch(mode=0o600)
    for user, password in users.items():
        subprocess.run([program, "-b", str(file), user, password], check=True, capture_output=True)
    return file
