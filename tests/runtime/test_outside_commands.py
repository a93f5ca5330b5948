"""The command line and what is outside: `nervio alerts test`, what a stop could not call back, a damaged key of the vault."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, update

from nervio.modules.safety.api import actions, alerts
from nervio.modules.safety.contracts.actions import SaveCampaign
from nervio.modules.safety.models.actions import ad_actions
from nervio.runtime.cli.output import Exit
from nervio.runtime.wiring import App, build
from tests.platform_peer import PlatformPeer, a_platform
from tests.runtime.program import nervio, settings_in

pytestmark = pytest.mark.sockets

T = TypeVar("T")
ALLOWED = {"NERVIO_ACTIONS__ALLOW_PRIVATE_ADDRESSES": "true"}


async def in_shop(folder: Path, work: Callable[[App], Awaitable[T]]) -> T:
    """What the work does in the program, which is ended again so that commands have the database to themselves."""
    app = build(settings_in(folder, actions={"allow_private_addresses": True}))
    async with app.started():
        return await work(app)


async def add_hook(app: App, url: str, name: str = "Hook") -> None:
    tenant = await app.first_tenant()
    assert tenant is not None
    fields = {"url": url, "signing_secret": "a signing secret"}
    await alerts.save_destination(app.system_ctx(tenant.id), app.vault, name, "webhook", fields)


async def tried(folder: Path, *arguments: str) -> tuple[int, str]:
    """(exit code, output) of `nervio alerts test`, run beside the peer of this process."""
    done = await asyncio.to_thread(partial(nervio, folder, "alerts", "test", *arguments, **ALLOWED))
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


async def test_a_trial_of_the_alerts_says_where_it_arrived(tmp_path: Path) -> None:
    async with a_platform() as peer:
        peer.sends.extend(["accepted", "accepted"])
        await in_shop(tmp_path, lambda app: add_hook(app, f"{peer.url}/alert"))
        code, output = await tried(tmp_path, "--json")
        report = json.loads(output)
        assert (code, report["sent"], report["failed"], report["waiting"]) == (Exit.DONE, 1, 0, 0), output
        assert [(one["name"], one["kind"], one["state"]) for one in report["destinations"]] == [
            ("Hook", "webhook", "sent")
        ]
        assert len(posted(peer)) == 1
        code, output = await tried(tmp_path)
        assert (code, "It arrived everywhere." in output) == (Exit.DONE, True)
        assert len(posted(peer)) == 2


@pytest.mark.slow
async def test_a_trial_that_does_not_arrive_everywhere_is_found(tmp_path: Path) -> None:
    code, output = await tried(tmp_path, "--json")
    assert (code, json.loads(output)["destinations"]) == (Exit.FOUND, [])
    async with a_platform() as peer:

        async def work(app: App) -> None:
            await add_hook(app, f"{peer.url}/alert", "Good")
            peer.sends.append("accepted")
            await add_hook(app, "http://127.0.0.1.nowhere.invalid/alert", "Gone")

        await in_shop(tmp_path, work)
        code, output = await tried(tmp_path)
    assert code == Exit.FOUND
    assert "It did not arrive everywhere" in output


async def test_another_shop_is_named_by_its_slug_and_an_unknown_one_refused(tmp_path: Path) -> None:
    done = await asyncio.to_thread(partial(nervio, tmp_path, "alerts", "test", "--tenant", "nobody", **ALLOWED))
    assert done.returncode == Exit.FAILED
    assert "nobody" in done.stderr


async def test_a_stop_says_what_had_left_already(tmp_path: Path) -> None:
    order_id = await in_shop(tmp_path, an_order_on_its_way)
    shown = await asyncio.to_thread(partial(nervio, tmp_path, "stop", "--reason", "fire", "--json"))
    (order,) = json.loads(shown.stdout)["in_flight"]
    assert (order["action_id"], order["kind"], order["platform"]) == (order_id, "pause", "webhook")
    told = await asyncio.to_thread(partial(nervio, tmp_path, "stop", "--reason", "fire"))
    assert (
        f"not to be called back: pause of campaign {order['campaign_id']} on webhook (order {order_id})" in told.stdout
    )


async def an_order_on_its_way(app: App) -> str:
    """A pause whose request has left and was not answered: as a worker leaves it that is killed while it waits."""
    tenant = await app.first_tenant()
    assert tenant is not None
    ctx = app.system_ctx(tenant.id)
    fields = {"url": "https://ads.example/orders", "signing_secret": "a signing secret"}
    connection = await actions.save_connection(ctx, app.vault, "Agency", "webhook", fields)
    await actions.save_campaign(ctx, SaveCampaign(None, connection.id, "C-1", "Summer", 100, "ARS", ()))
    (booked,) = await actions.pause_campaigns(ctx, products=None, reason="x", cause="r", key=None)
    sent = {"sends": 1, "landing_until": ctx.clock.now() + 3_600_000_000, "state": "sent"}

    def work(connection: Connection) -> None:
        connection.execute(update(ad_actions).where(ad_actions.c.id == booked.id).values(**sent))

    await app.database.bookkeep("prune", work)
    return booked.id


async def test_a_damaged_key_of_the_vault_is_said_and_left_as_it_is(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "vault.key"
    await in_shop(tmp_path, lambda app: add_hook(app, "https://hooks.example/x"))
    good = key.read_text(encoding="utf-8")
    key.write_text(good[:20], encoding="utf-8")
    done = await asyncio.to_thread(partial(nervio, tmp_path, "alerts", "test", **ALLOWED))
    assert done.returncode == Exit.USAGE
    assert "vault.key holds no key" in done.stderr
    assert "NERVIO_SECRETS__VAULT_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert key.read_text(encoding="utf-8") == good[:20]


def posted(peer: PlatformPeer) -> list[str]:
    return [one.path for one in peer.asked if one.method == "POST"]
