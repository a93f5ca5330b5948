"""A process that queues tasks as fast as it can, and tells what became of them: `URL TENANT CALLERS TASKS KIND`.

Each is to have kinds of its own: what they share then is the limits of their tenant and nothing else.
"""

import asyncio
import json
import sys
from collections import Counter

from nervio.db.context import Ctx
from nervio.kernel.errors import NervioError
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import SubmitTask
from tests.builders import SetClock, open_postgres


def say(line: object) -> None:
    """Tells whoever started this process."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main(url: str, tenant_id: str, callers: int, tasks: int, kind: str) -> None:
    """Opens the store, says so, waits for a line, and begins."""
    clock, counts = SetClock(), Counter[str]()
    async with open_postgres(url, clock) as database:
        ctx = Ctx(tenant_id, "customer", database, clock)
        say({"ready": True})
        await asyncio.to_thread(sys.stdin.readline)

        async def call(n: int) -> None:
            for turn in range(tasks):
                try:
                    await fleet.submit_task(ctx, SubmitTask(f"{kind}{(n + turn) % 5}", "{}"))
                    counts["taken"] += 1
                except NervioError as refused:
                    counts[refused.code] += 1

        await asyncio.gather(*(call(n) for n in range(callers)))
    say(counts)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
