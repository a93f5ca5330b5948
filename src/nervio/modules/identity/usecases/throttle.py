"""How often a login may be tried: a moving window a email and a client address, in this process's memory.

With several web processes each counts for itself, so the effective limit is that of one times their number. That is
still far too few guesses for a password of ten characters, and needs no server to ask.
"""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.identity.domain import network_of
from nervio.modules.identity.settings import IdentitySettings

MOST_REMEMBERED = 50_000


class LoginThrottle:
    """Counts attempts before a password is checked, so that many at once cannot slip through."""

    def __init__(self, settings: IdentitySettings) -> None:
        window = settings.login_window_seconds
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._per_email = RateLimitItemPerSecond(settings.login_attempts_per_email, window, "login-email")
        self._per_address = RateLimitItemPerSecond(settings.login_attempts_per_address, window, "login-address")

    def count(self, email: str, address: str | None) -> None:
        """Counts an attempt. Raises `too_many` with `retry_after_seconds`."""
        if address is not None:
            self._hit(self._per_address, network_of(address), "this address")
        self._hit(self._per_email, email, "this email")
        self._forget_idle()

    def forgive(self, email: str) -> None:
        """Forgets the attempts of an email whose password has just been given."""
        self._limiter.clear(self._per_email, email)

    def _hit(self, limit: RateLimitItemPerSecond, name: str, what: str) -> None:
        if self._limiter.hit(limit, name):
            return
        wait = max(1, math.ceil(self._limiter.get_window_stats(limit, name).reset_time - time.time()))
        raise NervioError(
            Kind.TOO_MANY,
            "too_many_logins",
            f"Too many logins were tried for {what}; try again in {wait} seconds.",
            retry_after_seconds=wait,
        )

    def _forget_idle(self) -> None:
        # The storage empties windows that have passed but keeps their names; a flood of made-up emails would grow it.
        if len(self._storage.events) > MOST_REMEMBERED:
            for name in [name for name, events in list(self._storage.events.items()) if not events]:
                self._storage.events.pop(name, None)
