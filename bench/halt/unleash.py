"""The peer: unleash-server on a PostgreSQL database of its own, and UnleashClient for Python.

Both are installed into the user's cache at bench time; nothing of them is in this repository.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.halt.writer import FLAG
from bench.stock import database
from bench.stock.contender import UnavailableError

SERVER_VERSION, CLIENT_VERSION = "8.2.0", "6.9.1"
_ADMIN, _CLIENT = "*:*.nervio-bench-admin", "default:development.nervio-bench-client"
_INSTALL_SECONDS = 300
_START_SECONDS = 90


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nervio-bench" / f"unleash-{SERVER_VERSION}-{CLIENT_VERSION}"


async def _run(line: list[str], folder: Path, log: Path) -> None:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*line, cwd=folder, stdout=output, stderr=output)
        try:
            async with asyncio.timeout(_INSTALL_SECONDS):
                code = await process.wait()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise UnavailableError(f"{line[0]} took longer than {_INSTALL_SECONDS} s") from error
    if code != 0:
        raise UnavailableError(f"{' '.join(line[:4])} failed with exit code {code}; see {log}")


async def install() -> Path:
    """The folder with both, installed the first time; raises UnavailableError."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise UnavailableError("node and npm are not installed")
    folder = _cache()
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
        log = folder / "install.log"
        # No script of a package is run; these need none.
        flags = ["--no-audit", "--no-fund", "--ignore-scripts"]
        await _run([npm, "install", *flags, f"unleash-server@{SERVER_VERSION}"], folder, log)
        target = str(folder / "python")
        await _run(
            [sys.executable, "-m", "pip", "install", "-q", "--target", target, f"UnleashClient=={CLIENT_VERSION}"],
            folder,
            log,
        )
        (folder / "complete").touch()
    return folder


class Unleash:
    """A server with one flag, which is on."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self.libraries = Path()
        self.url = ""
        self.token = _CLIENT

    async def start(self, workdir: Path) -> None:
        """Installs, starts and sets it up; raises UnavailableError."""
        folder = await install()
        self.libraries = folder / "python"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api"
        self._database = await database.create("unleash")
        settings = {
            "DATABASE_URL": self._database, "DATABASE_SSL": "false", "HTTP_HOST": "127.0.0.1", "PORT": str(port),
            "INIT_ADMIN_API_TOKENS": _ADMIN, "INIT_CLIENT_API_TOKENS": _CLIENT,
            # It reports on its use to its maker by default; a bench has nothing to report.
            "CHECK_VERSION": "false", "SEND_TELEMETRY": "false", "LOG_LEVEL": "error",
        }  # fmt: skip
        with (workdir / "unleash.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node", str(folder / "node_modules/unleash-server/dist/server.js"),
                stdout=log, stderr=log, env={**os.environ, **settings},
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                await self._ask("GET", "/admin/projects")
                break
            except (OSError, UnavailableError) as error:
                if time.monotonic() > deadline or self._process.returncode is not None:
                    raise UnavailableError(f"unleash-server did not start: {error}") from error
                await asyncio.sleep(0.5)
        features = "/admin/projects/default/features"
        await self._ask("POST", features, {"name": FLAG, "type": "kill-switch"})
        strategy = {
            "name": "flexibleRollout",
            "parameters": {"rollout": "100", "stickiness": "default", "groupId": FLAG},
        }
        await self._ask("POST", f"{features}/{FLAG}/environments/development/strategies", strategy)
        await self.switch(on=True)

    async def switch(self, *, on: bool) -> None:
        """Turns the flag; returns when the server has said that it did."""
        path = f"/admin/projects/default/features/{FLAG}/environments/development/{'on' if on else 'off'}"
        await self._ask("POST", path, {})

    async def kill(self) -> None:
        """Ends the server as a power cut would."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """Ends it and drops its database."""
        await self.kill()
        if self.url:
            await database.drop(self._database)

    async def _ask(self, method: str, path: str, body: object = None) -> object:
        def ask() -> object:
            request = urllib.request.Request(  # noqa: S310 (our own address)
                f"{self.url}{path}",
                None if body is None else json.dumps(body).encode(),
                {"Authorization": _ADMIN, "Content-Type": "application/json"},
                method=method,
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=10) as reply:
                    return json.loads(reply.read() or b"null")
            except urllib.error.HTTPError as error:
                with error:
                    raise UnavailableError(f"{method} {path}: {error.code} {error.read()[:200]!r}") from error

        return await asyncio.to_thread(ask)
