"""Argon2id in two threads: a hash costs 19 MiB and tens of milliseconds, and logins must not starve the till."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from nervio.kernel.errors import Kind, NervioError

T = TypeVar("T")

# OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, two passes, one lane.
MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1

THREADS = 2
MOST_WAITING = 64
"""More than this is an attack or a mistake: some two seconds of work, refused instead of queued."""


class PasswordHashing:
    """Hashes and checks passwords off the event loop."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._hasher = Argon2Hasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="nervio-password")
        self._waiting = 0
        # What an unknown email is checked against, so that it costs what a known one does.
        self._nobody = self._hasher.hash("a password that nobody has")

    async def hash(self, password: str, salt: bytes | None = None) -> str:
        """The encoded hash. A salt is given only to get the same hash for a request sent twice."""
        return await self._run(partial(self._hasher.hash, password, salt=salt))

    async def verify(self, password: str, encoded: str | None) -> bool:
        """Whether the password is right; with None (nobody) always False, after as long a time."""
        right = await self._run(partial(self._verify, password, self._nobody if encoded is None else encoded))
        return right and encoded is not None

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._most_waiting:
            raise NervioError(
                Kind.TOO_MANY, "logins_busy", "Too many passwords are being checked; try again.", retry_after_seconds=2
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _verify(self, password: str, encoded: str) -> bool:
        try:
            return self._hasher.verify(password, encoded)
        except PwdlibError:
            return False
