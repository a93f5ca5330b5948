"""Makers of buses, and the servers beside the database that a process may be asked about. A vendor's SDK is imported only
where an address asks for it: a shop on one machine starts without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from nervio.adapters.bus.memory import MemoryBus
from nervio.ports.bus import Bus
from nervio.runtime.settings import EventsSettings, Settings

DAY_SECONDS = 86_400

BusMaker = Callable[[str, EventsSettings], Bus]
"""Makes the bus of an address; connects to nothing."""


def memory_bus(_url: str, _events: EventsSettings) -> Bus:
    """In process."""
    return MemoryBus()


def redis_bus(url: str, events: EventsSettings) -> Bus:
    """Redis Streams."""
    from nervio.adapters.bus.redis import RedisBus

    return RedisBus(url, events.name, events.keep_days * DAY_SECONDS)


def nats_bus(url: str, events: EventsSettings) -> Bus:
    """NATS JetStream."""
    from nervio.adapters.bus.nats import NatsBus

    return NatsBus(url, events.name, events.keep_days * DAY_SECONDS)


async def _ping_redis(url: str) -> None:
    from nervio.adapters.bus.redis import ping

    await ping(url)


async def _ping_nats(url: str) -> None:
    from nervio.adapters.bus.nats import ping

    await ping(url)


def services_of(settings: Settings) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """The servers that are configured, by name, and how to ask whether they answer."""
    found: dict[str, Callable[[], Awaitable[None]]] = {}
    if settings.redis_url is not None:
        found["redis"] = partial(_ping_redis, settings.redis_url.get_secret_value())
    if settings.nats_url is not None:
        found["nats"] = partial(_ping_nats, settings.nats_url.get_secret_value())
    return found
