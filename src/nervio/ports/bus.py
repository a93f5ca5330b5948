"""The event bus: facts on their way out of the outbox to whoever listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from nervio.kernel.time import Instant


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


class Bus(Protocol):
    """Delivers at least once, in order of position; handlers are made once-in-effect by the inbox."""

    async def publish(self, channel: str, message: Event) -> None:
        """Hands the event to every handler of the channel."""
        ...

    def subscribe(self, channel: str, handler: Handler) -> Callable[[], None]:
        """Adds a handler; many may share a channel, `*` hears all. Returns the function that removes it."""
        ...

    def is_heard(self) -> bool:
        """Whether anything published now could reach anybody. A bus beyond this process cannot know and says yes."""
        ...

    async def close(self) -> None:
        """Stops delivery after what is under way."""
        ...
