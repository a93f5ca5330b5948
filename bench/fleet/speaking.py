"""How the bench speaks with a client of a peer: a line of JSON each way. Standard library only."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

BODY = "x" * 200
DONE = "peer:done"
"""The key under which workers count."""
COUNT_AT_ONCE = 50
"""Workers tell of every fiftieth task: counting each in Redis would cost a peer a tenth of what it takes."""


def serve(counter: Any, send: Callable[[str], object], trip: Callable[[str], object]) -> None:
    """Does what the bench asks for until its lines end: `{"burst": n}` or `{"trips": n}`; answers with what was measured.

    `send` queues a task that does nothing, `trip` queues one and waits for its result. `counter` is a client of Redis.
    """
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any]
        if "burst" in asked:
            answer = _burst(counter, send, asked["burst"], asked["workers"])
        else:
            answer = _trips(trip, asked["trips"])
        print(json.dumps(answer), flush=True)


def _burst(counter: Any, send: Callable[[str], object], tasks: int, workers: int) -> dict[str, float]:
    # Each worker process may keep some to itself that it has not told of.
    told = int(counter.get(DONE) or 0) + tasks - workers * COUNT_AT_ONCE
    started = time.perf_counter()
    for _ in range(tasks):
        send(BODY)
    queued = time.perf_counter()
    while int(counter.get(DONE) or 0) < told:
        time.sleep(0.002)
    return {"seconds": time.perf_counter() - started, "queued_seconds": queued - started}


def _trips(trip: Callable[[str], object], count: int) -> dict[str, list[float]]:
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        trip(BODY)
        taken.append(1000 * (time.perf_counter() - started))
    return {"trips_ms": taken}
