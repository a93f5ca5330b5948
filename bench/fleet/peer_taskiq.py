"""Taskiq on Redis streams, as a worker and as a client. Run by the Python of the peers, not by ours; knows nothing of this
project.

    taskiq worker bench.fleet.peer_taskiq:broker …
    python -m bench.fleet.peer_taskiq
"""

import asyncio
import os

import redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.fleet.speaking import COUNT_AT_ONCE, DONE, serve

URL = os.environ["PEER_REDIS_URL"]
broker = RedisStreamBroker(url=URL).with_result_backend(RedisAsyncResultBackend(redis_url=URL))
_counter = redis.Redis.from_url(URL)
_done = 0


@broker.task(task_name="count")
async def count(_body: str) -> None:
    """Nothing, counted now and then."""
    global _done  # noqa: PLW0603 (a worker process counts for itself)
    _done += 1
    if _done % COUNT_AT_ONCE == 0:
        _counter.incrby(DONE, COUNT_AT_ONCE)


@broker.task(task_name="echo")
async def echo(body: str) -> str:
    """Its argument."""
    return body


def main() -> None:
    """Speaks to the bench; the broker's client lives on one event loop."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(broker.startup())

    def send(body: str) -> None:
        loop.run_until_complete(count.kiq(body))

    async def trip(body: str) -> None:
        task = await echo.kiq(body)
        result = await task.wait_result(check_interval=0.001, timeout=30)
        assert result.return_value == body

    serve(_counter, send, lambda body: loop.run_until_complete(trip(body)))
    loop.run_until_complete(broker.shutdown())


if __name__ == "__main__":
    main()
