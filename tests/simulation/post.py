"""The simulated bus: keeps what was published, delivers it at least once, in order for each key and in no order otherwise."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from nervio.ports.bus import BusChanged, Event, Group, Handler
from tests.simulation.faults import Faults
from tests.simulation.seeded import ACTOR, SeededLoop

LONGEST_DELAY = 0.8
PATIENCE_SECONDS = 3.0
"""After this a delivery that was not acknowledged is made again."""


class Post:
    """The broker. Each process has a `Box` at it; a group of boxes shares the events, one of them gets each."""

    def __init__(self, loop: SeededLoop, faults: Faults) -> None:
        self.loop, self.faults = loop, faults
        self.boxes: list[Box] = []
        self.down_until = 0.0
        self.newest: Event | None = None
        self.on_accept: list[Callable[[Event], None]] = []
        self._queues: dict[str, deque[Event]] = {}
        self._busy: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether everything accepted was delivered and acknowledged."""
        return not any(self._queues.values())

    async def accept(self, event: Event) -> None:
        """Takes an event after the newest. Raises ConnectionError, whether it took it or not, or BusChanged."""
        before = self.newest
        await self.loop.pause(f"publish {event.type} {event.position}.{event.n}")
        if self.loop.time() < self.down_until or self.faults.strikes("publish_refused"):
            raise ConnectionError("the bus does not answer")
        if self.newest is not before:
            raise BusChanged("somebody else has published")
        self._queues.setdefault(event.key, deque()).append(event)
        self.newest = event
        for told in self.on_accept:
            told(event)
        self._deliver_next(event.key)
        if self.faults.strikes("publish_unacknowledged"):
            raise ConnectionError("the bus did not say whether it took the event")

    def _deliver_next(self, key: str) -> None:
        if key not in self._busy and self._queues.get(key):
            self._busy.add(key)
            self.loop.outside(self._deliver(key))

    async def _deliver(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            if self.faults.strikes("delivery_late"):
                await asyncio.sleep(self.faults.random.random() * LONGEST_DELAY)
            await self.loop.pause("deliver")
            event = queue[0]
            boxes = [box for box in self.boxes if not box.owner.dead and box.handlers]
            if not boxes or self.loop.time() < self.down_until:
                await asyncio.sleep(0.05)
                continue
            box = self.faults.random.choice(boxes)
            done = await box.hand_over(event) and not self.faults.strikes("delivery_dropped")
            if done and not self.faults.strikes("delivered_twice"):
                queue.popleft()
            elif not done:
                await asyncio.sleep(0.02)
        self._busy.discard(key)


class Box:
    """The product's bus port in one process, of the shared kind."""

    is_shared = True

    def __init__(self, post: Post) -> None:
        self._post = post
        self._end: str | None = None
        self.owner: Any = ACTOR.get()
        self.handlers: list[tuple[str, Handler]] = []
        post.boxes.append(self)

    async def publish(self, channel: str, message: Event) -> None:
        """Hands the event to the broker."""
        if self._post.newest is not None and self._post.newest.id != self._end:
            raise BusChanged("somebody else has published")
        await self._post.accept(message)
        self._end = message.id

    async def publish_all(self, messages: Sequence[Event]) -> None:
        """Hands them over in order."""
        for message in messages:
            await self.publish(message.type, message)

    async def newest(self) -> Event | None:
        """Where the broker ends; publishing goes on from there."""
        await self._post.loop.pause("newest")
        newest = self._post.newest
        self._end = None if newest is None else newest.id
        return newest

    def settled(self, group: str) -> int | None:
        """The broker keeps everything, so nobody asks."""
        return None

    def retire(self, groups: Collection[str]) -> None:
        """The broker keeps everything, for whoever it was."""

    def subscribe(self, channel: str, handler: Handler, group: Group | None = None) -> Callable[[], None]:
        """Adds a handler of a channel, or of `*`. Here all are of one group."""
        entry = (channel, handler)
        self.handlers.append(entry)
        return lambda: self.handlers.remove(entry)

    def is_heard(self) -> bool:
        """Always: others may hear what this process does not."""
        return True

    async def close(self) -> None:
        """Stops hearing."""
        self.handlers.clear()

    async def hand_over(self, event: Event) -> bool:
        """Delivers to this process; whether it acknowledged in time."""
        for channel, handler in list(self.handlers):
            if channel in {"*", event.type}:
                task = self.owner.spawn(_as_task(handler, event))
                done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
                if not done or task.cancelled() or task.exception() is not None:
                    return False
        return True


async def _as_task(handler: Handler, event: Event) -> None:
    await handler(event)
