"""Celery on Redis, as a worker and as a client. Run by the Python of the peers, not by ours; knows nothing of this project.

celery -A bench.fleet.peer_celery worker …
python -m bench.fleet.peer_celery
"""

import os
import sys

import redis
from celery import Celery
from celery.result import AsyncResult

from bench.fleet.speaking import COUNT_AT_ONCE, DONE, serve

URL = os.environ["PEER_REDIS_URL"]
app = Celery("bench.fleet.peer_celery", broker=URL, backend=URL)
# Acknowledged when done, so that a worker that dies loses nothing, as ours does.
app.conf.update(task_acks_late=True, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
_counter = redis.Redis.from_url(URL)
_done = 0


@app.task(ignore_result=True)
def count(_body: str) -> None:
    """Nothing, counted now and then."""
    global _done  # noqa: PLW0603 (a worker process counts for itself)
    _done += 1
    if _done % COUNT_AT_ONCE == 0:
        _counter.incrby(DONE, COUNT_AT_ONCE)


@app.task
def echo(body: str) -> str:
    """Its argument."""
    return body


def _trip(body: str) -> None:
    result: AsyncResult = echo.delay(body)
    assert result.get(timeout=30) == body


if __name__ == "__main__":
    serve(_counter, count.delay, _trip)
    sys.exit()
