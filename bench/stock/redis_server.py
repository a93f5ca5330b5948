"""A Redis server of one's own, on a socket in the work directory, gone when the contender stops."""

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path

from redis.asyncio import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.exceptions import RedisError

from bench.stock.contender import UnavailableError

# More made neither peer faster; callers beyond it wait in turn.
CONNECTIONS = 32
_START_SECONDS = 5.0


class OwnRedis:
    """Starts redis-server without persistence (its default snapshots would lose the last seconds all the same)."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Redis | None = None

    @property
    def client(self) -> Redis:
        assert self._client is not None, "start comes first"
        return self._client

    async def start(self, workdir: Path) -> None:
        """Start and wait for an answer; raises UnavailableError without redis-server or without an answer."""
        program = shutil.which("redis-server")
        if program is None:
            raise UnavailableError("redis-server is not installed")
        socket = workdir / "redis.sock"
        self._process = subprocess.Popen(  # noqa: ASYNC220 - starting is not measured
            [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"],
            cwd=workdir,
            stdout=subprocess.DEVNULL,
        )
        pool = BlockingConnectionPool(
            connection_class=UnixDomainSocketConnection, path=str(socket), max_connections=CONNECTIONS, timeout=None
        )
        self._client = Redis(connection_pool=pool)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._answers():  # noqa: ASYNC110 - another process gives no event
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise UnavailableError("redis-server does not answer") from error

    async def _answers(self) -> bool:
        try:
            return bool(await self.client.ping())
        except (RedisError, OSError):
            return False

    async def stop(self) -> None:
        if self._client is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)
