"""A worker's process killed between the request and its record."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from nervio.db.context import Ctx
from nervio.db.vault import Vault, new_key
from nervio.kernel.time import SECOND
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import ActionState, SaveCampaign
from nervio.modules.safety.settings import ActionSettings
from nervio.modules.safety.usecases.sending import ActionWorker
from nervio.runtime.outside import Outside
from tests.builders import SetClock, a_sqlite_database, furnished
from tests.modules.safety.campaigns import SIGNING_SECRET
from tests.platform_peer import a_platform

pytestmark = pytest.mark.sockets


async def test_after_kill_9_between_sent_and_recorded_it_is_read_back_and_not_sent_again(tmp_path: Path) -> None:
    key = new_key()
    async with a_platform() as peer:
        peer.now = lambda: int(time.time())
        # The child goes by the machine's clock, so the order is of today.
        today = SetClock(int(time.time()) * SECOND)
        async with a_sqlite_database(tmp_path / "nervio.db", today) as first:
            store = await furnished(first, today, str(tmp_path / "nervio.db"))
            fields = {"url": f"{peer.url}/hook", "signing_secret": SIGNING_SECRET}
            account = await actions.save_connection(store.ctx, Vault(key), "Agency", "webhook", fields)
            await actions.save_campaign(store.ctx, SaveCampaign(None, account.id, "C-1", "Soap", 100, "ARS", ()))
            (booked,) = await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
        peer.sends.append("applied, then silence")
        arguments = ("-m", "tests.modules.safety.dying_worker", store.address, key)
        child = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        await asyncio.wait_for(peer.holding.wait(), 60)
        child.kill()
        await child.wait()
        assert (peer.effects, peer.readings) == ([("C-1", "paused")], 0)

        clock = SetClock(int(time.time() + actions.Policy().claim_seconds + 1) * SECOND)
        async with a_sqlite_database(Path(store.address), clock) as database:
            ctx = Ctx(store.ctx.tenant_id, "nervio", database, clock)
            outside = Outside(ActionSettings.model_validate({"allow_private_addresses": True}), clock)
            worker = ActionWorker(outside.platform, Vault(key), lambda _tenant, _module: None, "next")
            await worker.run(ctx)
            await worker.settle()
            await outside.close()
            now = await actions.get_action(ctx, booked.id)
        assert (now.state, now.sends) == (ActionState.CONFIRMED, 1)
        assert [order[1] for order in peer.orders] == ["pause"]
        assert peer.readings == 1
