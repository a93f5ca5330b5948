"""How often one provider is asked, and when it is left alone.

Tried again here is what a provider has no reason to charge for: no connection or one that broke before a word came back, turned
away, failed by its own account. A time that ran out or an answer that broke off may be charged, so that the next step is the
caller's choice: another provider, or the same one later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from nervio.adapters.models.breaker import Breaker
from nervio.adapters.models.failures import Failures
from nervio.ports.clock import Clock
from nervio.ports.models import Failure, ModelError

log = logging.getLogger(__name__)

T = TypeVar("T")

_TRIED_AGAIN = frozenset({Failure.UNREACHABLE, Failure.RATE_LIMITED, Failure.FAILED})
_BREAKING = frozenset({Failure.UNREACHABLE, Failure.TIMEOUT, Failure.FAILED, Failure.MALFORMED})
"""What says that the provider is not well. All else is an answer of one that is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often, in seconds and bytes; `setting` is the prefix of the variables that change them."""

    setting: str = "NERVIO_MODELS"
    connect_seconds: float = 5.0
    first_part_seconds: float = 60.0
    next_part_seconds: float = 30.0
    whole_seconds: float = 300.0
    attempts: int = 3
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 20.0
    """A provider that asks to wait longer is not waited for: whoever queues the work waits better."""
    largest_answer_bytes: int = 33_554_432


class Attempts:
    """Calls to one provider. `draw` gives a number from 0 to 1 that spreads the pauses."""

    def __init__(
        self, failures: Failures, breaker: Breaker, limits: Limits, clock: Clock, draw: Callable[[], float]
    ) -> None:
        self._failures, self._breaker, self._limits = failures, breaker, limits
        self._clock, self._draw = clock, draw
        self._rests: dict[str, float] = {}

    async def run(
        self, model: str, attempt: Callable[[float], Awaitable[T]], may_repeat: Callable[[], bool] = lambda: True
    ) -> T:
        """What `attempt` gives, which is handed the time of the loop at which it must be over. Raises ModelError."""
        now = self._clock.monotonic()
        rest = self._rests.get(model, now) - now
        if rest > 0:
            raise self._failures.rate_limited(rest)
        wait = self._breaker.admit(now)
        if wait:
            raise self._failures.resting(self._breaker.failures, wait, self._breaker.last_words)
        try:
            result = await self._repeat(attempt, may_repeat)
        except ModelError as error:
            self._note(model, error)
            raise
        except BaseException:
            # Cancelled, or a bug of ours: it says nothing about the provider.
            self._breaker.withdrawn()
            raise
        self._breaker.answered()
        return result

    async def _repeat(self, attempt: Callable[[float], Awaitable[T]], may_repeat: Callable[[], bool]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.whole_seconds
        tried = 0
        while True:
            try:
                return await attempt(deadline)
            except ModelError as error:
                tried += 1
                pause = self._pause(tried, error)
                is_over = tried >= self._limits.attempts or pause > self._limits.longest_pause_seconds
                if error.failure not in _TRIED_AGAIN or is_over or not may_repeat() or loop.time() + pause >= deadline:
                    raise
                log.info("model_call_repeated", extra={"provider": error.provider, "error": str(error), "pause": pause})
            await asyncio.sleep(pause)

    def _pause(self, tried: int, error: ModelError) -> float:
        """Exponential with full jitter; what the provider asks for where it asks, and a little more, so that not everybody
        comes back at once."""
        limits = self._limits
        if error.retry_after_seconds is not None:
            return error.retry_after_seconds + self._draw() * limits.first_pause_seconds
        return self._draw() * min(limits.longest_pause_seconds, limits.first_pause_seconds * 2.0 ** (tried - 1))

    def _note(self, model: str, error: ModelError) -> None:
        now = self._clock.monotonic()
        if error.failure is Failure.RATE_LIMITED and error.retry_after_seconds is not None:
            self._rests[model] = now + error.retry_after_seconds
        if error.failure in _BREAKING:
            self._breaker.failed(now, str(error))
        else:
            self._breaker.answered()
