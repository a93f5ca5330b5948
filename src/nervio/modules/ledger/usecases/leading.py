"""Work that one process does at a time, under a lease whose token goes into every write of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from nervio.db import leases
from nervio.db.context import Ctx
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id

log = logging.getLogger(__name__)


class Leading:
    """Runs `work(ctx, token, is_new)` while this process holds the lease; `is_new` says that it has just taken it.

    The token is for the write transactions of the work, which refuse it once somebody else has taken over. A failure of the
    store is raised: who runs this again and again logs it and waits longer each time; the next round catches up.
    """

    def __init__(self, lease: str, seconds: float, work: Callable[[Ctx, int, bool], Awaitable[int]]) -> None:
        self._lease = lease
        self._seconds = seconds
        self._work = work
        self._owner = new_id()
        self._token: int | None = None
        self._leads_until = 0.0

    async def run(self, ctx: Ctx) -> int:
        """One round; returns what the work did, 0 while another process leads."""
        known, self._token = self._token, None
        token = await self._lead(ctx, known)
        if token is None:
            return 0
        try:
            done = await self._work(ctx, token, token != known)
        except NervioError as error:
            if error.code != "lease_lost":
                raise
            log.warning("leadership_lost", extra={"lease": self._lease})
            return 0
        # Remembered only after work that ended well, so that the round after a failure counts as a new lead.
        self._token = token
        return done

    async def close(self, ctx: Ctx) -> None:
        """Lets go of the lease, so that another process leads at once."""
        if self._token is not None:
            self._token = None
            await ctx.database.bookkeep("lease", lambda c: leases.release(c, self._lease, self._owner))

    async def _lead(self, ctx: Ctx, known: int | None) -> int | None:
        now = ctx.clock.monotonic()
        # Renewed at half its time only: each renewal is a durable write.
        if known is not None and now < self._leads_until - self._seconds / 2:
            return known
        token = await ctx.database.bookkeep(
            "lease", lambda c: leases.acquire(c, self._lease, self._owner, ctx.clock.now(), self._seconds)
        )
        self._leads_until = now + self._seconds
        return token
