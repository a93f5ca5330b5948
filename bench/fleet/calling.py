"""How the bench has a client of models call: a line of JSON each way. Standard library only."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

QUESTION = "What did we sell yesterday, and what is left of it?"
LONG_QUESTION = " ".join(f"word{n}" for n in range(498))
"""Said back in 500 parts, none of them like the one before: some clients take an answer that repeats itself for a broken one."""
MODEL = "gpt-4o-mini"
Call = Callable[[bool], Awaitable[str]]
"""One call, streamed or whole; the answer."""


async def serve(import_seconds: float, call: Call) -> None:
    """Does what the bench asks for until its lines end: `{"calls": n, "streams": false}`, one call after another."""
    print(json.dumps({"import_seconds": import_seconds}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        before, started = time.process_time(), time.perf_counter()
        for _ in range(asked["calls"]):
            said = await call(asked["streams"])
            wanted = LONG_QUESTION if asked["streams"] else QUESTION
            assert said.strip() == f"You said: {wanted}", said
        answer = {
            "cpu_seconds": time.process_time() - before,
            "seconds": time.perf_counter() - started,
        }
        print(json.dumps(answer), flush=True)
