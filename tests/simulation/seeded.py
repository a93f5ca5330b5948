"""The simulation's event loop: one seed decides who goes on, and time passes only when nobody can.

Whatever would be waiting for the world (a statement, a commit, a message) waits at a `pause`. What is ready runs in the
order in which it became so, as asyncio promises; then the seed picks one of those that pause. When nobody does, time jumps
to the next timer. Nothing here looks at a real clock, a thread or a socket.
"""

import asyncio
import contextvars
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol, TypeVar, TypeVarTuple

from tests.simulation.decisions import Decisions

T = TypeVar("T")
A = TypeVarTuple("A")

STEP_SECONDS = 0.0004
"""The longest that one step takes of the virtual time."""
TRACE_LINES = 4000
MOST_DONE_TASKS = 500
MOST_STEPS = 50_000
MOST_GOODBYES = 1000


class Stuck(Exception):
    """Nothing can ever happen any more, and somebody still waits."""


class Actor(Protocol):
    """Whoever pauses: a simulated process, or the world outside all of them."""

    name: str
    stalled_until: float


@dataclass
class Outside:
    """The world outside the processes: customers, the network, bad luck."""

    name: str = "world"
    stalled_until: float = 0.0
    dead: bool = False


OUTSIDE = Outside()
ACTOR: contextvars.ContextVar[Any] = contextvars.ContextVar("actor", default=OUTSIDE)
"""Which process a task belongs to; tasks inherit it."""


class Trace:
    """What happened, line by line, and a hash of all of it: two runs with one hash did the same."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=TRACE_LINES)
        self.steps = 0

    def add(self, line: str) -> None:
        """Adds a line."""
        self.steps += 1
        self._hash.update(line.encode() + b"\n")
        self.lines.append(line)

    @property
    def hash(self) -> str:
        """The first digits of the hash of everything so far."""
        return self._hash.hexdigest()[:16]


@dataclass
class _Paused:
    actor: Actor
    what: str
    future: asyncio.Future[None] = field(repr=False)


class SeededLoop(asyncio.BaseEventLoop):
    """See the module. `sticky` is how often the one who just ran goes on, drawn from the seed: some races need many switches,
    others one switch at the right moment."""

    def __init__(self, random: Random, decisions: Decisions | None = None) -> None:
        super().__init__()
        self._decisions = decisions or Decisions()
        self._picks = 0
        self.most_steps = MOST_STEPS
        self._random = random
        self._virtual = 0.0
        self._paused: list[_Paused] = []
        self._sticky = random.choice((0.0, 0.3, 0.7, 0.9))
        self.trace = Trace()
        self.tasks: list[tuple[Any, asyncio.Task[Any]]] = []
        """Whose each task is."""
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        return self._virtual

    async def pause(self, what: str) -> None:
        """Waits until the seed picks the caller."""
        paused = _Paused(ACTOR.get(), what, self.create_future())
        self._paused.append(paused)
        try:
            await paused.future
        finally:
            if paused in self._paused:
                self._paused.remove(paused)

    def _make_task(self, loop: Any, work: Any, context: Any = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
        if len(self.tasks) > MOST_DONE_TASKS:
            self.tasks = [one for one in self.tasks if not one[1].done()]
        self.tasks.append((ACTOR.get() if context is None else context.get(ACTOR, OUTSIDE), task))
        return task

    def outside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of the world, whoever makes it."""
        context = contextvars.copy_context()
        context.run(ACTOR.set, OUTSIDE)
        return self.create_task(work, context=context)

    def tell(self, what: str) -> None:
        """Adds a line to the trace."""
        self.trace.add(f"{self._virtual:10.4f} {ACTOR.get().name:<8} {what}")

    def run_in_executor(self, executor: Executor | None, func: Callable[[*A], T], *args: *A) -> asyncio.Future[T]:
        """Runs at once, here: there are no threads."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 (whatever it raises is the future's)
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        loop: Any = self  # asyncio's own queues, which no public name reaches
        while loop._scheduled and loop._scheduled[0]._when <= self._virtual:
            self._due(loop)
        if not loop._ready:
            self._go_on(loop)
        for _ in range(len(loop._ready)):
            handle = loop._ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _due(self, loop: Any) -> None:
        # A heap, of which asyncio keeps the order by `_when`.
        import heapq

        handle = heapq.heappop(loop._scheduled)
        handle._scheduled = False
        if not handle._cancelled:
            loop._ready.append(handle)

    def _go_on(self, loop: Any) -> None:
        able = [one for one in self._paused if one.actor.stalled_until <= self._virtual]
        if able:
            # As many draws each time, whatever comes of them: a story of which something is left out goes on much the same.
            stays, which = self._random.random() < self._sticky, int(self._random.random() * len(able))
            self._picks += 1
            chosen = able[-1]
            if not stays and able[which] is not chosen and self._decisions.takes("switch", self._picks):
                chosen = able[which]
            self._paused.remove(chosen)
            self._virtual += self._random.random() * STEP_SECONDS
            if self.trace.steps > self.most_steps:
                raise Stuck(f"more than {self.most_steps} steps, and no end")
            if not chosen.future.done():
                self.trace.add(f"{self._virtual:10.4f} {chosen.actor.name:<8} {chosen.what}")
                chosen.future.set_result(None)
            return
        wakes = [one.actor.stalled_until for one in self._paused]
        if loop._scheduled:
            wakes.append(loop._scheduled[0]._when)
        if not wakes:
            raise Stuck("nothing can happen any more")
        self._virtual = max(self._virtual, min(wakes))

    def abandon(self) -> None:
        """Ends the loop and every task in it, whatever it waits for."""
        for _ in range(MOST_GOODBYES):
            left = [task for _, task in self.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self.call_soon(self.stop)
            self.run_forever()
        self.tasks.clear()
        self._paused.clear()
        self.close()

    def _process_events(self, event_list: Any) -> None:
        return

    def _write_to_self(self) -> None:
        return

    def call_soon_threadsafe(
        self, callback: Callable[[*A], object], *args: *A, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)


def loop_of_simulation() -> SeededLoop:
    """The running loop, which must be a simulation's."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SeededLoop)
    return loop
