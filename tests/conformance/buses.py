"""Transports for the suites of the bus: the same questions to the one in process, Redis Streams and NATS JetStream."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nervio.adapters.bus.memory import MemoryBus
from nervio.kernel.ids import new_id
from nervio.ports.bus import Bus, DeadLetter, Event, Group
from tests import services

TENANT = new_id()
PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class Transport:
    """A place where events are kept, and as many buses on it as a test wants processes."""

    name: str
    make: Callable[[], Bus]
    is_shared: bool
    opened: list[Bus] = field(default_factory=list)

    def bus(self) -> Bus:
        """Another process's bus. In process there is one."""
        if not self.is_shared and self.opened:
            return self.opened[0]
        made = self.make()
        self.opened.append(made)
        return made


@asynccontextmanager
async def a_transport(kind: str) -> AsyncIterator[Transport]:
    """An empty transport of a name of its own, removed afterwards."""
    name = f"nervio_test_{secrets.token_hex(6)}"
    if kind == "memory":
        transport = Transport(kind, MemoryBus, is_shared=False)
    elif kind == "redis":
        from nervio.adapters.bus.redis import RedisBus

        transport = Transport(kind, lambda: RedisBus(services.url("redis"), name, 3600), is_shared=True)
    else:
        from nervio.adapters.bus.nats import NatsBus

        transport = Transport(kind, lambda: NatsBus(services.url("nats"), name, 3600), is_shared=True)
    try:
        yield transport
    finally:
        for bus in transport.opened:
            await bus.close()
        await remove(kind, name)


async def remove(kind: str, name: str) -> None:
    """What a bus of that name left at a server."""
    if kind == "redis":
        from nervio.adapters.bus.redis import connect

        client = connect(services.url("redis"))
        keys = [key async for key in client.scan_iter(f"{name}:*")]
        if keys:
            await client.delete(*keys)
        await client.aclose()
    elif kind == "nats":
        from nervio.adapters.bus.nats_session import Session

        session = await Session.open(services.url("nats"))
        for stream in (f"{name}_events", f"KV_{name}_readers"):
            await session.js.delete_stream(stream)
        await session.close()


class Journal:
    """What handlers were given and what was buried, by whoever asks."""

    def __init__(self) -> None:
        self.handled: list[tuple[str, Event]] = []
        self.buried: list[DeadLetter] = []
        self._changed = asyncio.Event()

    def note(self, who: str, event: Event) -> None:
        """Somebody handled it."""
        self.handled.append((who, event))
        self._changed.set()

    async def bury(self, letter: DeadLetter) -> None:
        """For `Group.bury`."""
        self.buried.append(letter)
        self._changed.set()

    def group(self, name: str = "test.handler", **given: float) -> Group:
        """A group that buries here, quick to try again."""
        kept = {"first_pause_seconds": 0.02, "longest_pause_seconds": 0.1, **given}
        return Group(name, self.bury, **kept)  # type: ignore[arg-type]

    def positions(self, key: str | None = None) -> list[int]:
        """Of what was handled, in the order of handling."""
        return [event.position for _, event in self.handled if key is None or event.key == key]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something is so."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def an_event(position: int, key: str = "a", kind: str = "thing_happened.v1", n: int = 0) -> Event:
    """An event of a place."""
    return Event(new_id(), kind, TENANT, key, position, n, 1_000_000 + position, {"position": position, "ñ": "ú\n"})


async def publish(bus: Bus, *events: Event) -> None:
    """As the relay does: from where the transport ends."""
    if bus.is_shared:
        await bus.newest()
    await bus.publish_all(events)
