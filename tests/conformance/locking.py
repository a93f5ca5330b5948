"""What the suites of locks share."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable

from nervio.kernel.time import SECOND, Instant
from nervio.ports.lock import Lease

SHORT = 0.4
"""A lease that a test lets run out."""
LONG = 20.0


class SteppingClock:
    """This machine's clocks; the one on the wall can be set."""

    def __init__(self) -> None:
        self.off_seconds = 0.0

    def now(self) -> Instant:
        return time.time_ns() // 1000 + int(self.off_seconds * SECOND)

    def monotonic(self) -> float:
        return time.monotonic()


async def got(asked: Awaitable[Lease | None]) -> Lease:
    lease = await asked
    assert lease is not None
    return lease


async def in_another_process(asked: Awaitable[Lease | None]) -> Lease | None:
    """As if nothing of the caller's context were there."""
    return await asyncio.get_running_loop().create_task(_await(asked), context=contextvars.Context())


async def _await(asked: Awaitable[Lease | None]) -> Lease | None:
    return await asked
