"""DBOS on SQLite, as a process that queues workflows for itself. Speaks JSON lines: see `bench.jobs.run`."""

import json
import sys
import time
from typing import Any

from dbos import DBOS


def say(**words: Any) -> None:
    """One line."""
    print(json.dumps(words), flush=True)


@DBOS.workflow()
def note() -> None:
    """Only tells when it began."""
    say(began=True, at=time.time())


@DBOS.step()
def one(n: int) -> int:
    """A step that does nothing."""
    return n


@DBOS.workflow()
def count(steps: int) -> None:
    """As many steps as it is told, and how long they took."""
    began = time.monotonic()
    for n in range(steps):
        one(n)
    say(counted=steps, seconds=time.monotonic() - began)


def main(folder: str) -> None:
    """Until its standard input ends."""
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "run_admin_server": False})
    DBOS.launch()
    DBOS.register_queue("jobs")
    say(ready=True, at=time.time())
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["name"] == "note":
            DBOS.enqueue_workflow("jobs", note)
        else:
            DBOS.enqueue_workflow("jobs", count, asked["payload"])
        say(queued=True, at=time.time())


if __name__ == "__main__":
    main(sys.argv[1])
