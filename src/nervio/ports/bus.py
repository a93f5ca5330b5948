"""The event bus: facts on their way out of the outbox to whoever listens, now or later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from nervio.kernel.time import Instant

EVERYTHING = "*"
"""The channel on which every event is heard."""


@dataclass(frozen=True, slots=True)
class Event:
    """A published fact. `(position, n)` is its place in the one order of facts; `payload` is plain JSON data."""

    id: str
    type: str
    tenant_id: str
    key: str
    position: int
    n: int
    recorded_at: Instant
    payload: dict[str, Any]


Handler = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a group gave up: why, after how many attempts, and for how long they went on."""

    event: Event
    group: str
    reason: str
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Suspects:
    """Events of a group that may have killed a process: those up to a position where the last one did not hand over, and
    above all those whose attempt is noted as begun (id → times begun alone)."""

    until: int
    begun: Mapping[str, int]


class Trials(Protocol):
    """Keeps an event that kills its process from being tried for ever."""

    async def take_over(self, group: str) -> Suspects:
        """This process works for the group from now on."""
        ...

    async def hand_over(self, group: str) -> None:
        """It does so no more, and what it had under way did it no harm."""
        ...

    def attempt(self, group: str, event: Event, alone: int | None) -> AbstractAsyncContextManager[None]:
        """Around an attempt. None: any event. 0: one that may be a killer is noted first. More: it was begun when a process
        died; it is noted as begun so often, and no other attempt of this process goes on meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """Durable consumption under a name: each event reaches one of those who share it, and again until it was handled.

    Events of one key (of one tenant) are handled one after another in the order of facts, those of other keys meanwhile. An
    event that failed `attempts` times is given to `bury`, and when that has returned its key goes on with the next: one
    event that nobody can digest must not hold up a shop. Errors of the moment (stopped, store away, too much at once)
    count no attempt; the event waits until the moment is over.
    """

    name: str
    bury: Callable[[DeadLetter], Awaitable[None]]
    attempts: int = 5
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0
    seconds: float = 60.0
    """How long a handler may take before it counts as failed."""
    at_once: int = 32
    """How many events of different keys may be in their handlers at once."""
    recall: Callable[[tuple[int, int] | None], Awaitable[Sequence[Event]]] | None = None
    """The next events of the outbox after a place; None: after all that is known to be settled. For those that a transport
    removed before the group had them, which are lost to it otherwise."""
    trials: Trials | None = None
    """Without it an event that kills its process comes again for ever."""


class BusChanged(Exception):
    """The transport does not end where this publisher left it: data was lost, or somebody else published. Nothing, or only a
    beginning of what was given, was published; `newest` says where to go on."""


class Bus(Protocol):
    """Delivers at least once and in order; the inbox makes handlers once in effect. The outbox stays the truth."""

    is_shared: bool
    """Whether other processes hear what this one publishes, and whether it is kept for groups that are away."""

    async def publish(self, channel: str, message: Event) -> None:
        """Returns when the event is durable in the transport (in process: when every listener has had it)."""
        ...

    async def publish_all(self, messages: Sequence[Event]) -> None:
        """Publishes each on the channel of its type, in order; what raises has published a beginning of them or nothing.

        Raises BusChanged (see there).
        """
        ...

    async def newest(self) -> Event | None:
        """The newest event that a shared transport holds; publishing goes on from there. None where it holds none."""
        ...

    def subscribe(self, channel: str, handler: Handler, group: Group | None = None) -> Callable[[], None]:
        """Adds a handler; many may share a channel. Returns the function that removes it.

        Without a group it hears what is published from now on, in every process, and whatever it raises is its own affair
        (in process it reaches the publisher). With a group it is one of those who work through all events; the same group
        may be given for several channels.
        """
        ...

    def settled(self, group: str) -> int | None:
        """The position up to which this process knows everything to be handled for the group; None where another process
        works for it."""
        ...

    def retire(self, groups: Collection[str]) -> None:
        """Names the groups that have no handler any more, instead of those named before. What a transport keeps for one is
        dropped once nobody has read for it for a while: a process of the version before may still run its handler."""
        ...

    def is_heard(self) -> bool:
        """Whether anything published now could reach anybody. A shared bus cannot know and says yes."""
        ...

    async def close(self) -> None:
        """Stops delivery; what is being handled is given up and comes again. Never waits for a transport that is away."""
        ...
