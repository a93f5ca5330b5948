"""A master with workers over MQTT and gRPC that works until it is killed; it says so once it does.

python -m bench.fleet.storm_master DATABASE BROKER_PORT PREFIX GRPC_PORT
"""

import asyncio
import sys
from pathlib import Path

from bench.fleet.ours import QUEUE_CAPACITY
from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.grpc import GrpcAddress
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.ids import NIL, new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.settings import FleetSettings
from nervio.runtime.commits import RingingDatabase
from tests.conformance.fleets import remote

SETTINGS = FleetSettings.model_validate({"lease_seconds": 3, "owner_lease_seconds": 1})


async def main(path: str, broker_port: str, prefix: str, grpc_port: str) -> None:
    """Works until it is killed."""
    inner = SQLiteDatabase(Path(path), SystemClock(), QUEUE_CAPACITY)
    await inner.start()
    database = RingingDatabase(inner)
    ctx = Ctx(NIL, "bench", database, SystemClock(), None, Lane.FLEET)
    address = f"127.0.0.1:{grpc_port}"
    workers = remote(int(broker_port), prefix, GrpcAddress(address, address))
    dispatcher = fleet.Dispatcher(ctx, new_id(), [workers], SETTINGS, lambda _tenant, _module: None, fleet.Drafts())
    print("working", flush=True)
    await dispatcher.run(asyncio.Event(), database.queued.listener())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
