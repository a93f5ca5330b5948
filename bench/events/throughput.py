"""Events a second from one publisher to one durable consumer that acknowledges each, over the same Redis with
`appendfsync always`: the bus as the relay uses it, and Streams as code without one does."""

import asyncio
import time
from typing import Any

from bench.events.actors import KEYS, TENANT, TOLD, make_bus
from nervio.adapters.bus.redis import connect
from nervio.kernel.ids import new_id
from nervio.ports.bus import DeadLetter, Event, Group

RELAYED = 2_000
"""What the relay gives to the bus at once."""
CALLERS = 64
PIPELINED = 250
READ = 500


async def ours(url: str, events: int) -> float:
    """Through the bus: in order, handed to a handler key by key, acknowledged when it returned."""
    publisher, consumer = make_bus(url), make_bus(url)
    told = [Event(new_id(), TOLD, TENANT, f"key-{n % KEYS}", n + 1, 0, 0, {"seq": n}) for n in range(events)]
    handled, done = 0, asyncio.Event()

    async def handle(_event: Event) -> None:
        nonlocal handled
        handled += 1
        if handled == events:
            done.set()

    async def bury(letter: DeadLetter) -> None:
        raise AssertionError(letter)

    try:
        await publisher.newest()
        consumer.subscribe(TOLD, handle, Group("bench.throughput", bury))
        began = time.perf_counter()
        for first in range(0, events, RELAYED):
            await publisher.publish_all(told[first : first + RELAYED])
        await done.wait()
        return events / (time.perf_counter() - began)
    finally:
        await consumer.close()
        await publisher.close()


async def plain(url: str, events: int) -> float:
    """Many callers, each waiting for its XADD; a consumer group that reads and acknowledges pages."""
    return await _peer(url, events, "plain", _by_callers)


async def pipelined(url: str, events: int) -> float:
    """One caller that sends pages of XADD in pipelines."""
    return await _peer(url, events, "pipelined", _by_pipelines)


async def _by_callers(client: Any, stream: str, events: int) -> None:
    numbers = iter(range(events))

    async def call() -> None:
        for n in numbers:
            await client.xadd(stream, {"body": _body(n)})

    await asyncio.gather(*(call() for _ in range(CALLERS)))


async def _by_pipelines(client: Any, stream: str, events: int) -> None:
    for first in range(0, events, PIPELINED):
        async with client.pipeline(transaction=False) as pipe:
            for n in range(first, min(first + PIPELINED, events)):
                pipe.xadd(stream, {"body": _body(n)})
            await pipe.execute()


async def _peer(url: str, events: int, name: str, publish: Any) -> float:
    client: Any = connect(url, 10.0)
    stream = f"peer-{name}"
    try:
        await client.xgroup_create(stream, "bench", id="0", mkstream=True)
        began = time.perf_counter()
        publishing = asyncio.create_task(publish(client, stream, events))
        seen = 0
        while seen < events:
            found = await client.xreadgroup("bench", "one", {stream: ">"}, count=READ, block=1000)
            if not found:
                continue
            entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
            await client.xack(stream, "bench", *(entry_id for entry_id, _ in entries))
            seen += len(entries)
        await publishing
        return events / (time.perf_counter() - began)
    finally:
        await client.aclose()


def _body(n: int) -> str:
    return f'{{"event":"{new_id()}","key":"key-{n % KEYS}","seq":{n}}}'
