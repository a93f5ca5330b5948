"""Locks over the lease table: asking, waiting in line, renewing, letting go. Where the waiting is done is a room's business."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

from nervio.adapters.locks import metrics
from nervio.adapters.locks.desk import LeaseDesk
from nervio.db.database import Database
from nervio.db.leases import LOCKED, Answer, Ask, Deed, Held, Taken
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND
from nervio.ports.clock import Clock
from nervio.ports.lock import LEASE_SECONDS, Decorator, Lease, holding, refuse_reentry

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

PREFIX = "lock:"
"""Before the names of locks in the lease table, where the program's own leaders (relay, sealer) are too."""
LONGEST_LEASE_SECONDS = 60.0
"""Longer work renews. Also: a lease in one state for this long was left behind, whatever the clock says that wrote it."""
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25
BACKSTOP_SECONDS = 1.0
"""How long a waiter relies on being woken before it looks at the table by itself: a lost notice costs this much."""
ROW_SECONDS = 0.5
SHORTEST_RENEWAL_PAUSE_SECONDS = 0.005


class Room(Protocol):
    """Where waiters wait, once they found the lock held. It decides nothing: whoever has the lock is in the lease table."""

    async def wait(self, name: str, bell: asyncio.Event, pause: float, longest: float) -> None:
        """Waits to be told that the lock was let go, at most `longest` seconds; only `pause` where nobody would tell. `bell`
        rings for those of this process."""
        ...

    def wake(self, name: str) -> None:
        """Tells the first who waits elsewhere, if anybody does, to look at the table. Keeps nobody waiting."""
        ...

    async def close(self) -> None:
        """Lets go of what waiting needs."""
        ...


class _Line:
    """Those of this process who wait for one lock, first come first served; only the first asks the table."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.bell = asyncio.Event()
        self.users = 0


async def _turn_came(line: _Line, deadline: float | None) -> bool:
    """Waits for the first place in line; without a queue there is nothing to wait for, even at no patience at all."""
    try:
        async with asyncio.timeout_at(deadline if line.turn.locked() else None):
            return await line.turn.acquire()
    except TimeoutError:
        return False


class LeaseLocks:
    """See `nervio.ports.lock.Locks`. The lease, its owner and its token are in the database with every room."""

    def __init__(
        self, database: Database, clock: Clock, room: Room, longest_seconds: float = LONGEST_LEASE_SECONDS
    ) -> None:
        self._desk, self._clock, self._room = LeaseDesk(database, clock), clock, room
        self._longest_seconds = longest_seconds
        self._lines: dict[str, _Line] = {}
        self._ending: set[asyncio.Task[Any]] = set()

    async def acquire(
        self,
        name: str,
        *,
        seconds: float = LEASE_SECONDS,
        patience_seconds: float | None = None,
    ) -> Lease | None:
        assert 0 < seconds <= self._longest_seconds, f"a lease lasts at most {self._longest_seconds} s; renew it"
        refuse_reentry(name)
        loop, family = asyncio.get_running_loop(), metrics.family_of(name)
        began = loop.time()
        deadline = None if patience_seconds is None else began + patience_seconds
        lease = None
        with self._in_line(name) as line:
            # Who stood in line stands behind one who just got the lock, most likely, and looks before it tries.
            has_stood = line.turn.locked()
            if await _turn_came(line, deadline):
                try:
                    lease = await self._contend(name, seconds, deadline, line, look_first=has_stood)
                finally:
                    line.turn.release()
        if lease is None:
            metrics.TIMEOUTS.labels(family).inc()
        metrics.WAIT_SECONDS.labels(family).observe(loop.time() - began)
        return lease

    async def renew(self, lease: Lease) -> bool:
        asked_at = self._clock.monotonic()
        ours = bool(await self._desk.ask(Ask(Deed.RENEW, lease.fence[0], lease.owner, lease.seconds)))
        if ours:
            lease.renewed(asked_at)
        elif not lease.is_lost and not lease.is_released:
            self._lost(lease)
        return ours

    async def release(self, lease: Lease) -> bool:
        if lease.is_released:
            return False
        lease.released()
        # Seen through even if the caller is cancelled meanwhile: nobody else can let go of it.
        return await self._see_through(self._release(lease.name, lease.owner))

    @asynccontextmanager
    async def lock(
        self,
        name: str,
        *,
        seconds: float = LEASE_SECONDS,
        patience_seconds: float | None = None,
    ) -> AsyncIterator[Lease]:
        lease = await self.acquire(name, seconds=seconds, patience_seconds=patience_seconds)
        if lease is None:
            raise NervioError(
                Kind.UNAVAILABLE, "lock_timeout", f"Somebody else holds the lock {name!r}; try again.", lock=name
            )
        renewing = asyncio.create_task(self._renew_forever(lease), name=f"nervio-lock-{name}")
        try:
            with holding(lease):
                yield lease
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
            try:
                await self.release(lease)
            except NervioError as error:
                # The work is done or not done by now, and what it came to is the answer; the lease runs out by itself.
                log.warning("lock_not_released", extra={"lock": name, "error": error.message})

    def atomic_transaction(
        self, name: str | Callable[..., str], *, seconds: float = LEASE_SECONDS, patience_seconds: float | None = None
    ) -> Decorator:
        def decorate(work: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
            @functools.wraps(work)
            async def run(*args: P.args, **kwargs: P.kwargs) -> R:
                called = name if isinstance(name, str) else name(*args, **kwargs)
                async with self.lock(called, seconds=seconds, patience_seconds=patience_seconds):
                    return await work(*args, **kwargs)

            return run

        return decorate

    async def close(self) -> None:
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._room.close()

    @contextlib.contextmanager
    def _in_line(self, name: str) -> Iterator[_Line]:
        line = self._lines.setdefault(name, _Line())
        line.users += 1
        try:
            yield line
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[name]

    async def _contend(
        self, name: str, seconds: float, deadline: float | None, line: _Line, *, look_first: bool
    ) -> Lease | None:
        """Asks the table, again and again until `deadline`. Whoever gives up, in whatever way, leaves nothing behind."""
        loop, owner = asyncio.get_running_loop(), new_id()
        state: Held | None = None
        state_since = 0.0
        pause = FIRST_PAUSE_SECONDS
        has_waited = False
        lease: Lease | None = None
        try:
            while True:
                line.bell.clear()
                asked_at = self._clock.monotonic()
                given_up = state if state is not None and asked_at - state_since > self._longest_seconds else None
                answer = await self._take(name, owner, seconds, given_up, state, look_first=look_first or has_waited)
                if isinstance(answer, Taken):
                    if answer.ran_out:
                        metrics.EXPIRIES.labels(metrics.family_of(name)).inc()
                    fence = (PREFIX + name, answer.token)
                    lease = Lease(name, owner, fence, seconds, asked_at, self._clock.monotonic)
                    return lease
                if answer != state:
                    state, state_since = answer, asked_at
                if deadline is not None and loop.time() >= deadline:
                    return None
                if not has_waited:
                    metrics.WAITS.labels(metrics.family_of(name)).inc()
                has_waited = True
                pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
                longest = min(
                    self._left(state), *(() if deadline is None else (deadline - loop.time(),)), BACKSTOP_SECONDS
                )
                spread = pause * random.uniform(0.5, 1.0)  # noqa: S311 (spreads pollers)
                await self._room.wait(name, line.bell, spread, max(longest, 0.001))
        finally:
            if has_waited and lease is None:
                self._room.wake(name)  # what told us, if it did, was meant for one who goes on

    def _left(self, state: Held | None) -> float:
        """Seconds until a lease that is seen runs out by the wall clock; the longest there are where nothing is known."""
        if state is None or not state.expires_at:
            return self._longest_seconds
        left = (state.expires_at - self._clock.now()) / SECOND
        return left if left > 0 else FIRST_PAUSE_SECONDS

    async def _take(
        self, name: str, owner: str, seconds: float, given_up: Held | None, state: Held | None, *, look_first: bool
    ) -> Taken | Held:
        lease = PREFIX + name
        if look_first:
            # Looking costs the writers nothing; on SQLite a try would stand between them.
            found = await self._desk.look(lease)
            if found is not None and found.expires_at > self._clock.now() and found != given_up:
                return found
        ask = Ask(Deed.TAKE, lease, owner, seconds, given_up)
        taking = asyncio.ensure_future(self._put(ask, state))
        try:
            answer = await asyncio.shield(taking)
        except BaseException:
            # To a caller who gave up, or to a question that got no answer in time, it may have been given all the same.
            self._keep(self._undo(taking, name, owner))
            raise
        assert isinstance(answer, Taken | Held)
        return answer

    async def _put(self, ask: Ask, state: Held | None) -> Answer:
        if state == LOCKED:
            # A write under the lock had the row: this time its turn is waited for, unless that write does not end.
            with contextlib.suppress(NervioError):
                return await self._desk.insist(ask, ROW_SECONDS)
        return await self._desk.ask(ask)

    async def _undo(self, taking: asyncio.Future[Answer], name: str, owner: str) -> None:
        await asyncio.gather(taking, return_exceptions=True)
        with contextlib.suppress(NervioError):
            await self._release(name, owner)

    async def _release(self, name: str, owner: str) -> bool:
        try:
            return bool(await self._desk.ask(Ask(Deed.RELEASE, PREFIX + name, owner)))
        finally:
            line = self._lines.get(name)
            if line is not None:
                line.bell.set()
            self._room.wake(name)

    async def _renew_forever(self, lease: Lease) -> None:
        pause = lease.seconds / 3
        while True:
            await asyncio.sleep(max(pause, SHORTEST_RENEWAL_PAUSE_SECONDS))
            try:
                if not await self.renew(lease):
                    return
                pause = lease.seconds / 3
            except NervioError as error:
                log.warning("lock_not_renewed", extra={"lock": lease.name, "error": error.message})
                pause = lease.seconds / 10

    def _lost(self, lease: Lease) -> None:
        lease.lost()
        metrics.LOST.labels(metrics.family_of(lease.name)).inc()
        log.warning("lock_lost", extra={"lock": lease.name, "token": lease.token})

    async def _see_through(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._keep(work))

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits for it hears of it; a lease that nobody could let go runs out
