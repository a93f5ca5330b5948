"""Group commit: concurrent callers meet in a batch, share one commit, and each gets a verdict of its own.

There is no fixed wait: a writer that is free takes what is there, so a lone sale commits alone and at once, and a batch
grows only while the one before it is being written. Batches are capped by estimated time, not by count.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from nervio.db.batch import Command, Lane
from nervio.db.execution import Outcome
from nervio.db.lanes import MIN_WEIGHT_BESIDE_TILL, LaneQueue, Waiting
from nervio.kernel.errors import Kind, NervioError
from nervio.ports.lock import current_fences

log = logging.getLogger(__name__)

BATCH_SECONDS = 0.010
"""Longest time a batch is meant to hold the writer: what a sale may have to wait for."""

BESIDE_TILL_SECONDS = 0.004
"""The same for imports and jobs while somebody sells, where all lanes share one writer: a sale that comes in the middle of
such a batch waits for the rest of it, and pays for its own commit after that."""

QUIET_BATCH_SECONDS = 0.040
QUIET_TILL_SECONDS = 2.0
"""While nobody has sold anything for a while, imports and jobs may write larger batches: a commit has a fixed price.
Only the first sale after a quiet time can meet one."""


_CLOSING = "Nervio is shutting down; send this again in a moment."

B = TypeVar("B")
R = TypeVar("R")


class Writer(Protocol):
    """Takes commands and answers them; one kind a database."""

    def submit(self, waiting: Waiting) -> None:
        """Queues a command. Raises NervioError `too_many` when the lane is full."""
        ...

    async def start(self) -> None:
        """Begins writing."""
        ...

    async def close(self) -> None:
        """Writes what was taken, refuses the rest as unavailable, and stops."""
        ...


def answer(batch: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
    """Resolves the callers' futures; must run on their event loop. An answer nobody waits for any more is dropped."""
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if not waiting.answer.done():
            waiting.answer.set_result(outcome)


def unavailable(message: str) -> NervioError:
    """The store cannot be written to just now."""
    return NervioError(Kind.UNAVAILABLE, "store_unavailable", message)


class GroupCommit:
    """The door to the writer: awaits verdicts and raises them where they are errors."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def submit(self, command: Command[B, R]) -> R:
        """Commits one command and returns its reply. Raises NervioError for a refusal, anything else for a bug."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        command.fences = command.fences or current_fences()
        self._writer.submit(Waiting(command, future))
        outcome = await future
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome  # type: ignore[return-value]

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        """Queues all commands in order and waits for all; refusals come back as values. When the queue fills up in
        the middle, the rest is refused with `too_many` and the first ones still get their verdicts."""
        loop, group, fences = asyncio.get_running_loop(), object(), current_fences()
        futures: list[asyncio.Future[Outcome]] = []
        for command in commands:
            command.fences = command.fences or fences
            future: asyncio.Future[Outcome] = loop.create_future()
            futures.append(future)
            try:
                self._writer.submit(Waiting(command, future, group))
            except NervioError as refusal:
                future.set_result(refusal)
        try:
            return [await future for future in futures]
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise


class _Lanes:
    """The queues of a writer, and how they are closed."""

    def __init__(self, capacity: int) -> None:
        self._lanes = {lane: LaneQueue(lane, capacity) for lane in Lane}
        self._closing = False

    def _put(self, waiting: Waiting) -> None:
        if self._closing:
            raise unavailable(_CLOSING)
        self._lanes[waiting.command.lane].put(waiting)

    def _refuse_waiting(self) -> None:
        """Ends every queue; what was taken out of it before is still written."""
        self._closing = True
        left = [waiting for lane in self._lanes.values() for waiting in lane.drain()]
        answer(left, [unavailable(_CLOSING)] * len(left))


class ThreadWriter(_Lanes):
    """One writer thread for all lanes: the shape for a database with a single write lock.

    `run(commands)` is called on the writer thread only and may block. After every batch of another lane the till is
    served first, so a sale waits for at most one foreign batch.
    """

    def __init__(self, run: Callable[[list[Command[Any, Any]]], list[Outcome]], capacity: int) -> None:
        super().__init__(capacity)
        self._run = run
        self._others: deque[Lane] = deque(lane for lane in Lane if lane is not Lane.TILL)
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._till_had_turn = False
        self._till_used_at = -math.inf
        self._is_waiting = False
        self._answers_under_way = 0

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="nervio-writer", daemon=True)
        self._thread.start()

    @property
    def is_till_quiet(self) -> bool:
        """Whether nobody has sold anything for a while. May be asked on any thread."""
        return self._loop is None or self._loop.time() - self._till_used_at > QUIET_TILL_SECONDS

    def submit(self, waiting: Waiting) -> None:
        with self._changed:
            self._put(waiting)
            if self._is_waiting and not self._answers_under_way:
                self._changed.notify()

    async def close(self) -> None:
        with self._changed:
            self._refuse_waiting()
            self._changed.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        assert self._loop is not None
        while True:
            with self._changed:
                lane = self._wait_for_lane()
                if lane is None:
                    return
                started = self._loop.time()
                if lane.lane is Lane.TILL:
                    self._till_used_at = started
                    batch = lane.take(BATCH_SECONDS)
                elif self.is_till_quiet:
                    batch = lane.take(QUIET_BATCH_SECONDS)
                else:
                    batch = lane.take(BESIDE_TILL_SECONDS, MIN_WEIGHT_BESIDE_TILL)
            if not batch:
                continue
            try:
                outcomes: list[Outcome] = self._run([waiting.command for waiting in batch])
                lane.measured(batch, self._loop.time() - started)
            except Exception as error:
                # The writer outlives any one batch: whatever broke is that batch's verdict, loudly logged.
                log.exception("batch_failed")
                outcomes = [error] * len(batch)
            with self._changed:
                self._answers_under_way += 1
            self._loop.call_soon_threadsafe(self._answer, batch, outcomes)

    def _answer(self, batch: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        """On the event loop: wakes the callers, and lets those who go on at once queue up before the next batch is cut.

        Otherwise the first of them to come back would be written alone, and the others would wait for its commit.
        """
        assert self._loop is not None
        answer(batch, outcomes)
        self._loop.call_soon(self._loop.call_soon, self._answered)

    def _answered(self) -> None:
        with self._changed:
            self._answers_under_way -= 1
            if self._is_waiting:
                self._changed.notify()

    def _wait_for_lane(self) -> LaneQueue | None:
        """The lane to serve next; None when closing. Waits while there is nothing to write, holding the lock."""
        while not self._closing:
            lane = self._next_lane()
            if lane is not None and (lane.is_enough or not self._answers_under_way):
                self._had_its_turn(lane.lane)
                return lane
            self._is_waiting = True
            self._changed.wait()
            self._is_waiting = False
        return self._next_lane()

    def _next_lane(self) -> LaneQueue | None:
        till = self._lanes[Lane.TILL]
        if len(till) and not self._till_had_turn:
            return till
        others = (self._lanes[lane] for lane in self._others if len(self._lanes[lane]))
        return next(others, till if len(till) else None)

    def _had_its_turn(self, lane: Lane) -> None:
        """Puts a lane that is being served behind the others; only then, since it may be looked for in vain many times."""
        self._till_had_turn = lane is Lane.TILL
        if not self._till_had_turn:
            self._others.remove(lane)
            self._others.append(lane)


class LaneWriter(_Lanes):
    """Connections of its own for every lane: the shape for a database with many writers. Lanes never wait for each other.

    The till has two that write in turn: while the database writes one batch, the other asks what it needs to know and
    waits at the rows they share. `run(lane, turn, commands)` writes a batch and reconnects by itself.
    """

    def __init__(self, run: Callable[[Lane, int, list[Command[Any, Any]]], Any], capacity: int) -> None:
        super().__init__(capacity)
        self._run = run
        self._wake = {lane: asyncio.Event() for lane in Lane}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        turns = [(lane, turn) for lane in Lane for turn in range(2 if lane is Lane.TILL else 1)]
        self._tasks = [
            asyncio.create_task(self._work(lane, turn), name=f"nervio-writer-{lane.value}-{turn}")
            for lane, turn in turns
        ]

    def submit(self, waiting: Waiting) -> None:
        self._put(waiting)
        self._wake[waiting.command.lane].set()

    async def close(self) -> None:
        self._refuse_waiting()
        for wake in self._wake.values():
            wake.set()
        await asyncio.gather(*self._tasks)

    async def _work(self, lane: Lane, turn: int) -> None:
        queue, wake = self._lanes[lane], self._wake[lane]
        seconds = BATCH_SECONDS if lane is Lane.TILL else QUIET_BATCH_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            batch = queue.take_share(seconds) if lane is Lane.TILL else queue.take(seconds)
            if not batch:
                if self._closing:
                    return
                wake.clear()
                await wake.wait()
                continue
            started = loop.time()
            try:
                outcomes = await self._run(lane, turn, [waiting.command for waiting in batch])
                queue.measured(batch, loop.time() - started)
            except Exception as error:
                log.exception("batch_failed")
                outcomes = [error] * len(batch)
            if lane is Lane.TILL:
                queue.written(batch)
                wake.set()
            answer(batch, outcomes)
            # Lets the callers that were just answered queue their next command before the next batch is cut.
            await asyncio.sleep(0)
