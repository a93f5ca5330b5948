"""A process that takes a lock, is suspended before its write, and writes when it wakes. Speaks JSON lines.

    python -m bench.locks.holder ADDRESS REDIS_URL TENANT

Each line `{"name": of the contestant, "row", "value", "seconds"}` is one trial: it answers `{"held": true}`, suspends itself (SIGSTOP) between its last
look at the lock and its write, and when it is continued answers `{"accepted": whether its write counted}`.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import nervio.modules.ledger.models  # noqa: F401 - the tables a write may touch
from bench.locks.contestants import Contestant, contestant


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _hold(holder: Contestant, row: str, value: int, seconds: float) -> None:
    while True:
        async with holder.lock(row, seconds) as is_held:
            if not await is_held():
                continue  # on a busy machine a short lease may be over before its holder hears of it
            _say({"held": True})
            os.kill(os.getpid(), signal.SIGSTOP)
            # It knows nothing of the time that passed and goes on with what it was about to do.
            _say({"accepted": await holder.write(row, value)})
            return


async def _serve(address: str, redis_url: str, tenant_id: str) -> None:
    _say({"ready": True})
    current, holder = "", None
    while line := await asyncio.to_thread(sys.stdin.readline):
        trial = json.loads(line)
        name = trial.pop("name")
        if name != current or holder is None:
            # One at a time: with all of them open, the holders together would use up the server's connections.
            if holder is not None:
                await holder.stop()
            current, holder = name, contestant(name, address, redis_url, tenant_id)
            await holder.start()
        await _hold(holder, **trial)
    if holder is not None:
        await holder.stop()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:4]))
