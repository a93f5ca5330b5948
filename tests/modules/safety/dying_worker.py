"""A process that sends orders until it is killed: `python -m tests.modules.safety.dying_worker DATABASE VAULT_KEY`."""

import asyncio
import sys
from pathlib import Path

from nervio.adapters.clock import SystemClock
from nervio.db.context import Ctx
from nervio.db.sqlite import SQLiteDatabase
from nervio.db.vault import Vault
from nervio.kernel.ids import NIL
from nervio.modules.safety.settings import ActionSettings
from nervio.modules.safety.usecases.sending import ActionWorker
from nervio.runtime.outside import Outside
from tests.builders import QUEUE_CAPACITY


async def main(path: Path, key: str) -> None:
    """Works for ever."""
    clock = SystemClock()
    database = SQLiteDatabase(path, clock, QUEUE_CAPACITY)
    await database.start()
    outside = Outside(ActionSettings.model_validate({"allow_private_addresses": True}), clock)
    worker = ActionWorker(outside.platform, Vault(key), lambda _tenant, _module: None, "dying")
    while True:
        await worker.run(Ctx(NIL, "nervio", database, clock))
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
