"""What every bus does with the events of a group: in order within a key, many keys at once, again until handled or buried."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from nervio.kernel.errors import Kind, NervioError
from nervio.ports.bus import EVERYTHING, DeadLetter, Event, Group, Handler, Suspects

log = logging.getLogger(__name__)

WINDOW = 5_000
"""Events that a group may hold at once. Those of a key that waits (stopped, or failing) stand in it and keep the others
out only when they fill it."""
MOMENT_SECONDS = 2.0
"""Pause after an error of the moment."""
LONGEST_REASON = 2_000
HAND_OVER_SECONDS = 1.0

_UNWATCHED: AbstractAsyncContextManager[None] = nullcontext()
OF_THE_MOMENT = frozenset({Kind.HALTED, Kind.UNAVAILABLE, Kind.TOO_MANY})
"""Errors that count no attempt."""


class _Waiting:
    """An event that is not settled yet."""

    __slots__ = ("alone", "done", "event", "handler", "settled")

    def __init__(self, event: Event, handler: Handler, settled: Callable[[], None], alone: int | None) -> None:
        self.event, self.handler, self.settled, self.alone = event, handler, settled, alone
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
        self._suspects, self._left_to_suspect = Suspects(0, {}), 0
        self._has_taken_over = False
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
        waiting = _Waiting(event, handler, settled, self._suspicion(event) if self._left_to_suspect else None)
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

    async def take_over(self) -> None:
        """This process works for the group from now on: to be called before what it gets is put. Raises where that cannot be
        noted."""
        if self.group.trials is not None:
            self.suspect(await self.group.trials.take_over(self.group.name))
            self._has_taken_over = True

    def suspect(self, suspects: Suspects) -> None:
        """What is put from now on may hold these."""
        self._suspects = suspects
        self._left_to_suspect = WINDOW if suspects.until or suspects.begun else 0

    async def end(self) -> None:
        """Gives up what is under way and, after `take_over`, notes that it ended in order. Never fails: at worst whoever comes
        next is more careful."""
        await self.close()
        if self._has_taken_over and self.group.trials is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(HAND_OVER_SECONDS):
                    await self.group.trials.hand_over(self.group.name)

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

    def _suspicion(self, event: Event) -> int | None:
        """See `Trials.attempt`. A process holds no more than the window, so behind that many nothing is under suspicion."""
        begun = self._suspects.begun.get(event.id)
        if begun is not None:
            return begun + 1
        self._left_to_suspect -= 1
        return 0 if event.position <= self._suspects.until else None

    def _attempt(self, waiting: _Waiting) -> AbstractAsyncContextManager[None]:
        alone, waiting.alone = waiting.alone, None  # whatever it comes to, the process lives
        trials = self.group.trials
        return _UNWATCHED if trials is None else trials.attempt(self.group.name, waiting.event, alone)

    async def _deliver(self, waiting: _Waiting) -> None:
        event, group = waiting.event, self.group
        attempts, reason, began = 0, "", time.monotonic()
        if waiting.alone is not None and waiting.alone > group.attempts:
            attempts = waiting.alone - 1
            reason = f"ProcessDied: the process ended each time that it was tried alone, {attempts} times"
        while attempts < group.attempts:
            try:
                async with self._slots, self._attempt(waiting), asyncio.timeout(group.seconds):
                    await waiting.handler(event)
                return
            except NervioError as error:
                if error.kind in OF_THE_MOMENT:
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
