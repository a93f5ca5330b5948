"""Dramatiq on Redis, as a worker and as a client. Run by the Python of the peers, not by ours; knows nothing of this project.

dramatiq bench.fleet.peer_dramatiq …
python -m bench.fleet.peer_dramatiq
"""

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.fleet.speaking import COUNT_AT_ONCE, DONE, serve

URL = os.environ["PEER_REDIS_URL"]
_broker = RedisBroker(url=URL)
_broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(_broker)
_counter = redis.Redis.from_url(URL)
_done = 0


@dramatiq.actor(queue_name="counted")
def count(_body: str) -> None:
    """Nothing, counted now and then."""
    global _done  # noqa: PLW0603 (a worker process counts for itself)
    _done += 1
    if _done % COUNT_AT_ONCE == 0:
        _counter.incrby(DONE, COUNT_AT_ONCE)


@dramatiq.actor(store_results=True)
def echo(body: str) -> str:
    """Its argument."""
    return body


def _trip(body: str) -> None:
    assert echo.send(body).get_result(block=True, timeout=30_000) == body


if __name__ == "__main__":
    serve(_counter, count.send, _trip)
