"""How often a login may be tried: moving windows in the database, so that they hold for all processes together.

An address may log in so many times, and an email may be tried so many times without success. All addresses from which the
email has never got in share one window: whoever guesses from many of them has no more guesses. An address from which its
person has got in before has a window of its own, so that nobody can lock people out of the place where they work.

A refusal costs a read and writes nothing. Attempts that wait together share a transaction, and a flood of them gets few
transactions a second; rows are removed when their window has passed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from nervio.db.commit import unavailable
from nervio.db.database import Database
from nervio.db.dialects import dialect_of
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import DAY, SECOND, Instant
from nervio.modules.identity.domain import network_of
from nervio.modules.identity.settings import IdentitySettings
from nervio.modules.identity.store import windows as store
from nervio.modules.identity.store.windows import Window
from nervio.modules.identity.usecases.tokens import hash_secret
from nervio.ports.clock import Clock

KNOWN_DAYS = 90
"""How long an address stays known to an email after its person got in from it."""
MOST_WAITING = 256
"""More than this is a flood; it is refused before it costs anything."""
SPACING_SECONDS = 0.05
"""Between two transactions, while attempts keep coming."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One try: the windows it may count in, and the one of its email that it does count in."""

    address: str | None
    strangers: str
    here: str | None
    known: str | None
    email: str = ""

    def choose(self, is_known: bool) -> None:
        """Settles which window of the email counts."""
        self.email = self.here if is_known and self.here is not None else self.strangers

    @property
    def names(self) -> list[str]:
        """The windows that it counts in."""
        return [self.email] if self.address is None else [self.address, self.email]


Waiting = tuple[Attempt, bool, "asyncio.Future[None]"]
"""(the attempt, whether the password turned out right, who waits)"""


class LoginThrottle:
    """Counts attempts before a password is checked, so that many at once cannot slip through. Lives on one event loop."""

    def __init__(self, database: Database, clock: Clock, settings: IdentitySettings) -> None:
        self._database, self._clock = database, clock
        self._window = settings.login_window_seconds * SECOND
        self._per_email = settings.login_attempts_per_email
        self._per_address = settings.login_attempts_per_address
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def count(self, email: str, address: str | None) -> Attempt:
        """Counts an attempt. Raises `too_many` with `retry_after_seconds`."""
        attempt = _attempt(email, address)
        refusal = await self._database.read(partial(self._look, attempt))
        if refusal is not None:
            raise refusal
        await self._write(attempt, succeeded=False)
        return attempt

    async def forgive(self, attempt: Attempt) -> None:
        """Forgets the failures before an attempt whose password was right, and remembers where it came from."""
        await self._write(attempt, succeeded=True)

    async def _write(self, attempt: Attempt, *, succeeded: bool) -> None:
        if len(self._waiting) >= MOST_WAITING and not succeeded:
            raise NervioError(
                Kind.TOO_MANY, "logins_busy", "Too many logins are being tried; try again.", retry_after_seconds=2
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((attempt, succeeded, future))
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_all(), name="nervio-login-throttle")
        await future

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            outcomes: Sequence[Exception | None]
            try:
                outcomes = await self._database.bookkeep("throttle", partial(self._settle, batch))
            except Exception as error:  # noqa: BLE001 (whatever it was, those who wait must hear of it)
                lost = isinstance(error, DBAPIError | OSError)
                outcomes = [unavailable(f"The database could not be written: {error}") if lost else error] * len(batch)
            for (_, _, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():  # by a caller that gave up
                    continue
                if outcome is None:
                    future.set_result(None)
                else:
                    future.set_exception(outcome)
            await asyncio.sleep(SPACING_SECONDS if self._waiting else 0)

    def _look(self, attempt: Attempt, connection: Connection) -> NervioError | None:
        """What is refused already is refused here, without a write."""
        names = [name for name in (attempt.address, attempt.strangers, attempt.here, attempt.known) if name]
        now = self._clock.now()
        found = store.find_windows(connection, names, now)
        attempt.choose(attempt.known in found)
        for window in found.values():
            self._forget_passed(window, now)
        return self._refusal(attempt, found, now)

    def _settle(self, batch: Sequence[Waiting], connection: Connection) -> list[NervioError | None]:
        now, dialect = self._clock.now(), dialect_of(connection)
        names = {name for attempt, _, _ in batch for name in attempt.names}
        names |= {attempt.known for attempt, succeeded, _ in batch if succeeded and attempt.known}
        windows = store.lock_windows(connection, dialect, names, now + self._window)
        changed: dict[str, Window] = {}
        refusals: list[NervioError | None] = []
        for window in windows.values():
            self._forget_passed(window, now)
        for attempt, succeeded, _ in batch:
            refusal = None if succeeded else self._refusal(attempt, windows, now)
            refusals.append(refusal)
            if succeeded:
                windows[attempt.email].attempts.clear()
                changed[attempt.email] = windows[attempt.email]
                if attempt.known is not None:
                    windows[attempt.known].expires_at = now + KNOWN_DAYS * DAY
                    changed[attempt.known] = windows[attempt.known]
            elif refusal is None:
                for name in attempt.names:
                    windows[name].attempts.append(now)
                    windows[name].expires_at = now + self._window
                    changed[name] = windows[name]
        store.write_windows(connection, dialect, changed)
        store.forget_expired(connection, now)
        return refusals

    def _forget_passed(self, window: Window, now: Instant) -> None:
        window.attempts = [at for at in window.attempts if at > now - self._window]

    def _refusal(self, attempt: Attempt, windows: dict[str, Window], now: Instant) -> NervioError | None:
        if attempt.address is not None and (wait := self._wait(windows.get(attempt.address), self._per_address, now)):
            return _too_many("this address", wait)
        if wait := self._wait(windows.get(attempt.email), self._per_email, now):
            return _too_many("this email", wait)
        return None

    def _wait(self, window: Window | None, limit: int, now: Instant) -> int:
        """Seconds until another attempt fits in; 0 where it does now."""
        if window is None or len(window.attempts) < limit:
            return 0
        return max(1, math.ceil((window.attempts[-limit] + self._window - now) / SECOND))


def _attempt(email: str, address: str | None) -> Attempt:
    strangers = hash_secret(f"strangers\n{email}")
    if address is None:
        return Attempt(None, strangers, None, None)
    network = network_of(address)
    place = f"{email}\n{network}"
    return Attempt(
        hash_secret(f"address\n{network}"), strangers, hash_secret(f"here\n{place}"), hash_secret(f"known\n{place}")
    )


def _too_many(what: str, wait: int) -> NervioError:
    return NervioError(
        Kind.TOO_MANY,
        "too_many_logins",
        f"Too many logins were tried for {what}; try again in {wait} seconds.",
        retry_after_seconds=wait,
    )
