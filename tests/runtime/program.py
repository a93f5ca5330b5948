"""The whole program for a test: built and started in a folder of its own, or as the real process on a real port."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from nervio.runtime.server import HttpFace
from nervio.runtime.settings import Settings, load_settings
from nervio.runtime.wiring import App, build
from tests.builders import create_sqlite_file

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """A started program and a client of its application; nothing listens on a port."""

    app: App
    face: HttpFace
    client: httpx.AsyncClient
    email: str
    password: str

    async def login(self, email: str | None = None, password: str | None = None) -> dict[str, str]:
        """The headers of somebody who is logged in, the first superadmin by default."""
        body = {"email": email or self.email, "password": password or self.password}
        reply = await self.client.post("/api/auth/login", json=body)
        assert reply.status_code == 200, reply.text
        return {"Authorization": f"Bearer {reply.json()['access_token']}"}


def settings_in(folder: Path, **given: Any) -> Settings:
    """Settings whose files all lie in a folder."""
    return load_settings(**{"data_dir": folder, "log": {"directory": folder / "logs"}, "environment": "test", **given})


@asynccontextmanager
async def a_program(folder: Path, roles: tuple[str, ...] = (), **given: Any) -> AsyncIterator[Program]:
    """The program on SQLite in a folder, started, with a client."""
    await create_sqlite_file(folder / "nervio.db")
    app = build(settings_in(folder, **given))
    face = HttpFace(app, ("web", *roles))
    async with app.started(roles):
        face.open()
        # An answer, not an exception, is what a client sees of a bug.
        transport = httpx.ASGITransport(
            app=face.application.asgi, raise_app_exceptions=False, client=("127.0.0.1", 50000)
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            first = app.first_login
            assert first is not None
            yield Program(app, face, client, first.email, first.password)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Server:
    """`nervio serve` as a process of its own; with `module` another program that takes a port."""

    def __init__(self, folder: Path, port: int, *arguments: str, module: str = "nervio", **environment: str) -> None:
        self.folder, self.port, self.url = folder, port, f"http://127.0.0.1:{port}"
        self.output = folder / f"output-{port}.txt"
        self.environment = environment_in(folder, **environment)
        usual = ("up",) if module == "nervio" else ()
        command = [sys.executable, "-m", module, *(arguments or usual), "--port", str(port)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, cwd=folder)

    def wait_until_ready(self) -> None:
        """Returns when requests are answered."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output.read_text(encoding="utf-8")
            try:
                if self.call("GET", "/health").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not start: " + self.output.read_text(encoding="utf-8"))

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, timeout: float = 30
    ) -> Answer:
        """One request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 (our own address)
            self.url + path, data, {"Content-Type": "application/json", **(headers or {})}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:  # noqa: S310
                return Answer(reply.status, dict(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def first_password(self) -> str:
        """The password that the first start printed."""
        for line in self.output.read_text(encoding="utf-8").splitlines():
            if "Password" in line:
                return line.strip("│ ").split()[1]
        raise AssertionError("no password was printed: " + self.output.read_text(encoding="utf-8"))

    def login(self) -> dict[str, str]:
        """The headers of the first superadmin."""
        body = {"email": "admin@nervio.local", "password": self.first_password()}
        reply = self.call("POST", "/api/auth/login", body)
        assert reply.status == 200, reply.body
        return {"Authorization": f"Bearer {reply.json()['access_token']}"}

    def stop(self) -> int:
        """Asks for an orderly end; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)


@contextmanager
def a_server(folder: Path, port: int, *arguments: str, **environment: str) -> Iterator[Server]:
    """A server process in a folder, ready, ended afterwards."""
    server = Server(folder, port, *arguments, **environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def environment_in(folder: Path, **given: str) -> dict[str, str]:
    """An environment whose files all lie in a folder, with nothing of ours from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NERVIO_")}
    return {
        **kept,
        "NERVIO_DATA_DIR": str(folder),
        "NERVIO_LOG__DIRECTORY": str(folder / "logs"),
        "COLUMNS": "200",
        **given,
    }


def nervio(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of the command line, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "nervio", *arguments],
        env=environment_in(folder, **environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
