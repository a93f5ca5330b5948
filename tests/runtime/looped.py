"""The program on an event loop of its own thread, for tests that are not asynchronous themselves."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.runtime.program import Program, a_program

T = TypeVar("T")
PATIENCE_SECONDS = 60.0


class Looped:
    """A started program, and a way to have its loop do something."""

    def __init__(self, program: Program, loop: asyncio.AbstractEventLoop) -> None:
        self.program = program
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)


@contextmanager
def a_looped_program(folder: Path, **given: Any) -> Iterator[Looped]:
    """The program in a folder, started in a thread."""
    ready: Future[Looped] = Future()
    ended = threading.Event()

    async def run() -> None:
        try:
            async with a_program(folder, **given) as program:
                ready.set_result(Looped(program, asyncio.get_running_loop()))
                await asyncio.to_thread(ended.wait)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="program")
    thread.start()
    try:
        yield ready.result(PATIENCE_SECONDS)
    finally:
        ended.set()
        thread.join()
