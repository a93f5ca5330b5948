"""What every bus does with the events of a group: in order within a key, many keys at once, again until handled or buried."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable

from nervio.kernel.errors import Kind, NervioError
from nervio.ports.bus import EVERYTHING, DeadLetter, Event, Group, Handler

log = logging.getLogger(__name__)

WINDOW = 5_000
"""Events that a group may hold at once. Those of a key that waits (stopped, or failing) stand in it and keep the others
out only when they fill it."""
MOMENT_SECONDS = 2.0
"""Pause after an error of the moment."""
LONGEST_REASON = 2_000

_OF_THE_MOMENT = frozenset({Kind.HALTED, Kind.UNAVAILABLE, Kind.TOO_MANY})


class _Waiting:
    """An event that is not settled yet."""

    __slots__ = ("done", "event", "handler", "settled")

    def __init__(self, event: Event, handler: Handler | None, settled: Callable[[], None]) -> None:
        self.event, self.handler, self.settled = event, handler, settled
        self.done = False


class KeyedDelivery:
    """Hands events to one group's handlers.

    Whoever reads the transport puts events in the order of facts; `settled` of each is called on the event loop once its
    handler returned or it was buried. A process handles the events of a key in their order, so that even two processes
    that both take themselves for the reader have the effects in order, as long as each begins at what is not settled.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.handlers: dict[str, Handler] = {}
        self.room = asyncio.Event()
        self._keys: dict[tuple[str, str], deque[_Waiting]] = {}
        self._in_order: deque[_Waiting] = deque()
        self._slots = asyncio.Semaphore(group.at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._reached = 0
        self._last = 0
        self.room.set()

    @property
    def free(self) -> int:
        """How many more events it takes now."""
        return max(0, WINDOW - self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether all that was put is settled."""
        return not self._in_order

    @property
    def settled(self) -> int:
        """The position up to which all is settled; 0 before the first. Of the last position put, more may be on its way."""
        return max(0, self._reached if self._in_order else self._last - 1)

    def put(self, event: Event, settled: Callable[[], None]) -> None:
        """Takes an event on. One that no handler wants is settled at once."""
        handler = self.handlers.get(event.type) or self.handlers.get(EVERYTHING)
        self._last = max(self._last, event.position)
        if handler is None:
            settled()
            return
        waiting = _Waiting(event, handler, settled)
        self._in_order.append(waiting)
        self._waiting += 1
        if not self.free:
            self.room.clear()
        key = (event.tenant_id, event.key)
        line = self._keys.get(key)
        if line is not None:
            line.append(waiting)
            return
        self._keys[key] = deque([waiting])
        task = asyncio.create_task(self._work(key), name=f"nervio-{self.group.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def abandon(self) -> list[Event]:
        """Gives up what is under way; returns what stays unsettled, in order."""
        for task in self._tasks:
            task.cancel()
        left = [waiting.event for waiting in self._in_order if not waiting.done]
        self._keys = {}
        self._in_order.clear()
        self._waiting = self._last = self._reached = 0
        self.room.set()
        return left

    async def close(self) -> None:
        """Gives up what is under way and waits until it has ended."""
        tasks = list(self._tasks)
        self.abandon()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, key: tuple[str, str]) -> None:
        line = self._keys[key]
        while line:
            waiting = line[0]
            await self._deliver(waiting)
            line.popleft()
            waiting.done = True
            waiting.settled()
            self._waiting -= 1
            self.room.set()
            while self._in_order and self._in_order[0].done:
                # Another event of the same position may still be on its way, so only what lies before it is behind us.
                self._reached = max(self._reached, self._in_order.popleft().event.position - 1)
        del self._keys[key]

    async def _deliver(self, waiting: _Waiting) -> None:
        event, handler, group = waiting.event, waiting.handler, self.group
        assert handler is not None
        attempts, reason, began = 0, "", time.monotonic()
        while attempts < group.attempts:
            try:
                async with self._slots, asyncio.timeout(group.seconds):
                    await handler(event)
                return
            except NervioError as error:
                if error.kind in _OF_THE_MOMENT:
                    await asyncio.sleep(MOMENT_SECONDS * _jitter())
                    continue
                reason = f"{error.code}: {error.message}"
            except TimeoutError:
                reason = f"TimeoutError: no end after {group.seconds:g} s"
            except Exception as error:  # noqa: BLE001 (whatever a handler raises, the others go on)
                reason = f"{type(error).__name__}: {error}"
            attempts += 1
            extra = {"handler": group.name, "event_id": event.id, "event_type": event.type, "attempt": attempts}
            log.warning("event_failed", extra={**extra, "reason": reason[:LONGEST_REASON]})
            if attempts < group.attempts:
                pause = min(group.first_pause_seconds * 2 ** (attempts - 1), group.longest_pause_seconds)
                await asyncio.sleep(pause * _jitter())
        letter = DeadLetter(event, group.name, reason[:LONGEST_REASON], attempts, time.monotonic() - began)
        await self._bury(letter)

    async def _bury(self, letter: DeadLetter) -> None:
        pause = self.group.first_pause_seconds
        while True:
            try:
                await self.group.bury(letter)
                return
            except Exception as error:  # noqa: BLE001 (until it is written down somewhere, the event stays with us)
                log.warning("dead_letter_not_kept", extra={"event_id": letter.event.id, "error": str(error)})
            await asyncio.sleep(pause * _jitter())
            pause = min(pause * 2, self.group.longest_pause_seconds)


def _jitter() -> float:
    """Between a half and one, so that those who failed together do not come again together."""
    return random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
