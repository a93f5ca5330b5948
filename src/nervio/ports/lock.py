"""Named locks between processes. They save work and never carry correctness.

A pause, a lost network or a clock that steps can leave two holders of one lock, whatever keeps it. What makes that harmless
is the fence of each lease: its token grows with every change of hands, travels with every command submitted under the lock,
and the write path refuses an older one in SQL (`nervio.db.leases.find_stale`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

Fence = tuple[str, int]
"""(name of a lease in the database, fencing token): what a write has to carry to be taken for its holder's."""

LEASE_SECONDS = 10.0
"""How long a lock outlives a holder that says nothing any more."""


class Decorator(Protocol):
    """What `atomic_transaction` gives: takes any async function and gives one of the same shape."""

    def __call__(self, work: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        """The function under the lock."""
        ...


class LockNotReentrant(RuntimeError):
    """The caller, or a task it was started from, holds this very lock: waiting for it would never end."""


class Lease:
    """A lock that is held: its fencing token, and until when this process may believe in it.

    Validity is counted on the monotonic clock from before the lease was asked for, so it ends here before anybody else can
    take the lock. It says whether to go on working; whether a write counts is decided by the token.
    """

    def __init__(
        self, name: str, owner: str, fence: Fence, seconds: float, asked_at: float, monotonic: Callable[[], float]
    ) -> None:
        self.name = name
        self.owner = owner
        self.fence = fence
        self.seconds = seconds
        self._monotonic = monotonic
        self._valid_until = asked_at + seconds
        self._is_released = False
        self._is_lost = False

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every holder before."""
        return self.fence[1]

    @property
    def is_valid(self) -> bool:
        """Whether the lock is held for sure at this moment."""
        return not self._is_released and not self._is_lost and self._monotonic() < self._valid_until

    @property
    def is_released(self) -> bool:
        """Whether its holder has let it go."""
        return self._is_released

    @property
    def is_lost(self) -> bool:
        """Whether somebody else is known to have it."""
        return self._is_lost

    @property
    def remaining_seconds(self) -> float:
        """How long it is held for sure; 0 when it is not."""
        return max(0.0, self._valid_until - self._monotonic()) if self.is_valid else 0.0

    def renewed(self, asked_at: float) -> None:
        """It lasts its whole length again, from the moment before the renewal was sent. For adapters."""
        self._valid_until = asked_at + self.seconds

    def lost(self) -> None:
        """Somebody else has it. For adapters."""
        self._is_lost = True

    def released(self) -> None:
        """Its holder has let it go. For adapters."""
        self._is_released = True


class Locks(Protocol):
    """Named locks. Not re-entrant: who holds one and asks for it again gets LockNotReentrant at once.

    A store that cannot be reached means not acquired, never acquired by default: NervioError `lock_unavailable`.
    """

    async def acquire(
        self, name: str, *, seconds: float = LEASE_SECONDS, patience_seconds: float | None = None
    ) -> Lease | None:
        """Waits for the lock, for ever or at most `patience_seconds` (0: one try); None when it was not to be had.

        It runs out after `seconds` unless `renew` is called in time; `lock` does that by itself. Callers of one process get
        their turn in the order in which they came. What is submitted under it is fenced inside `holding(lease)` only.
        """
        ...

    async def renew(self, lease: Lease) -> bool:
        """Makes it last its whole length again; False when somebody else has it now."""
        ...

    async def release(self, lease: Lease) -> bool:
        """Lets it go, so that whoever waits goes on at once; False when it was no longer the lease's to let go."""
        ...

    def lock(
        self, name: str, *, seconds: float = LEASE_SECONDS, patience_seconds: float | None = None
    ) -> AbstractAsyncContextManager[Lease]:
        """The lock around a block: renewed in the background, let go at the end, and its fence handed to every command
        submitted inside. Raises NervioError `lock_timeout` when it was not to be had."""
        ...

    def atomic_transaction(
        self, name: str | Callable[..., str], *, seconds: float = LEASE_SECONDS, patience_seconds: float | None = None
    ) -> Decorator:
        """Runs an async function under a lock, whose name may be made from its arguments. What it submits is fenced: a
        holder that lost the lock while it was suspended writes nothing any more (`lease_lost`)."""
        ...

    async def close(self) -> None:
        """Lets go of what waiting needs. Leases still held run out by themselves."""
        ...


_held: ContextVar[tuple[Lease, ...]] = ContextVar("nervio_held_leases", default=())


@contextmanager
def holding(lease: Lease) -> Iterator[None]:
    """Commands submitted inside, in this task and in those started from it, carry the lease's fence."""
    token = _held.set((*_held.get(), lease))
    try:
        yield
    finally:
        _held.reset(token)


def refuse_reentry(name: str) -> None:
    """Raises LockNotReentrant where the caller stands under the lock already."""
    if any(lease.name == name and not lease.is_released for lease in _held.get()):
        raise LockNotReentrant(f"the lock {name!r} is held by the caller itself; it is not re-entrant")


def current_fences() -> tuple[Fence, ...]:
    """The fences a command submitted here and now has to carry. A task that outlives the lock it was started under is not
    bound by it any more."""
    held = _held.get()
    return tuple(lease.fence for lease in held if not lease.is_released) if held else ()
