"""Medusa's inventory module with its locking workflow on PostgreSQL, driven through a Node process of ours.

npm installs the packages into the user's cache at bench time; nothing of them is in this repository.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from bench.stock import database
from bench.stock.contender import Audit, UnavailableError

_VERSION = "2.21.2"
_PACKAGES = (
    *(f"@medusajs/{name}@{_VERSION}" for name in ("framework", "core-flows", "inventory", "locking")),
    *(f"@medusajs/{name}@{_VERSION}" for name in ("event-bus-local", "workflow-engine-inmemory")),
    # Loaded by the framework's front door, though only its Redis parts use them.
    "ioredis@5",
    "connect-redis@9",
)
_INSTALL_SECONDS = 300
_START_SECONDS = 60
_LINE_LIMIT = 1 << 20
_DRIVER = Path(__file__).with_name("medusa_driver.cjs")


class DriverError(Exception):
    """Medusa answered a call with an error."""


class LockTimeoutError(DriverError):
    """Medusa gave up a sale because it waited for the item's lock longer than its workflow allows (5 s)."""


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nervio-bench" / f"medusa-{_VERSION}"


async def _install() -> Path:
    """Return the directory with the packages, installed by npm the first time; raises UnavailableError."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise UnavailableError("node and npm are not installed")
    packages = _cache()
    complete = packages / "complete"
    if complete.exists():
        return packages
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "package.json").write_text('{"private": true}', encoding="utf-8")
    # No script of a package is run; these need none.
    line = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *_PACKAGES]
    with (packages / "install.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*line, cwd=packages, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(_INSTALL_SECONDS):
                code = await process.wait()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise UnavailableError(f"npm install took longer than {_INSTALL_SECONDS} s") from error
    if code != 0:
        raise UnavailableError(f"npm install of @medusajs {_VERSION} failed with exit code {code}")
    complete.touch()
    return packages


class Medusa:
    """A sale is one run of createReservationsWorkflow for one unit. It keeps no idempotency key: that work it is spared."""

    durable = True

    def __init__(self) -> None:
        self._url: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def start(self, workdir: Path) -> None:
        packages = await _install()
        self._url = await database.create("medusa")
        errors = workdir / "medusa.err"
        with errors.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                "node", str(_DRIVER), str(packages), self._url,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=_LINE_LIMIT,
                # It reports on its use to its maker by default; a bench has nothing to report.
                env={**os.environ, "NODE_ENV": "production", "MEDUSA_DISABLE_TELEMETRY": "true"},
            )  # fmt: skip
        ready = self._expect(0)
        self._reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(_START_SECONDS):
                await ready
        except (DriverError, TimeoutError) as error:
            raise UnavailableError(f"Medusa did not start: {str(error) or 'no answer'}"[:300]) from error

    def _expect(self, number: int) -> asyncio.Future[dict[str, Any]]:
        self._waiting[number] = asyncio.get_running_loop().create_future()
        return self._waiting[number]

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"], None)
            if waiting is None or waiting.done():
                continue
            if answer["ok"]:
                waiting.set_result(answer)
            else:
                kind = LockTimeoutError if "acquiring lock" in answer["error"] else DriverError
                waiting.set_exception(kind(answer["error"]))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(DriverError("the Node process ended"))

    async def _call(self, **request: object) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._expect(number)
        self._process.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
        return await answer

    async def prepare(self, units: Sequence[int]) -> None:
        assert self._url is not None, "start comes first"
        await self._call(op="prepare", units=list(units))
        await database.settle(self._url)

    async def sell(self, sku_index: int, key: str) -> bool:
        answer = await self._call(op="sell", sku=sku_index, key=key)
        return answer["sold"] is True

    async def audit(self) -> Audit:
        answer = await self._call(op="audit")
        return Audit(sold=answer["sold"], movements=answer["movements"])

    async def stop(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader
        if self._url is not None:
            await database.drop(self._url)
