"""The vault opened with another key than the one that sealed: it says which setting, loses nothing, and lets secrets be
entered again."""

import pytest

from nervio.db.vault import Vault, new_key
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety.api import actions, alerts
from nervio.modules.safety.contracts.actions import ActionState
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.modules.safety.usecases.delivering import AlertWorker
from nervio.modules.safety.usecases.sending import ActionWorker, open_account
from nervio.ports.actions import Account, OpenPlatform
from tests.builders import Store
from tests.modules.safety.campaigns import SIGNING_SECRET, VAULT, a_campaign, a_connection

OTHER = Vault(new_key())
FIELDS = {"url": "https://ads.example/orders"}


async def refused(attempt: object) -> NervioError:
    with pytest.raises(NervioError) as found:
        await attempt  # type: ignore[misc]
    return found.value


def unreachable(_kind: str, _account: Account) -> OpenPlatform:
    raise AssertionError("nothing may leave with secrets that cannot be opened")


async def test_it_names_the_setting_and_the_right_key_opens_it_again(store: Store) -> None:
    connection = await a_connection(store)
    error = await refused(open_account(store.ctx, OTHER, connection.id))
    assert (error.kind, error.code) == (Kind.UNAVAILABLE, "secrets_sealed")
    assert "NERVIO_SECRETS__VAULT_KEY" in error.message
    assert "keys/vault.key" in error.message
    _, account = await open_account(store.ctx, VAULT, connection.id)
    assert account.secrets == {"signing_secret": SIGNING_SECRET}


async def test_orders_wait_and_say_why_and_nothing_is_sent(store: Store) -> None:
    await a_campaign(store, await a_connection(store))
    (booked,) = await actions.pause_campaigns(store.ctx, products=None, reason="x", cause="r", key=None)
    worker = ActionWorker(unreachable, OTHER, lambda _tenant, _module: None, "one", draw=lambda: 0.5)  # type: ignore[arg-type]
    for _ in range(3):
        await worker.run(store.ctx)
        await worker.settle()
        store.clock.advance(1)
    found = await actions.get_action(store.ctx, booked.id)
    assert found.state is not ActionState.CONFIRMED
    assert "NERVIO_SECRETS__VAULT_KEY" in found.words


async def test_an_alert_is_marked_as_failed_with_the_reason(store: Store) -> None:
    await alerts.save_destination(store.ctx, VAULT, "Chat", "slack", {"url": "https://hooks.example/x"})
    await alerts.raise_alert(store.ctx, Alert(Severity.WARNING, "c", "T", "B", "d", "/console/stock"), "k")
    worker = AlertWorker(unreachable, OTHER, "https://shop.example")  # type: ignore[arg-type]
    await worker.run(store.ctx)
    await worker.settle()
    (destination,) = await alerts.list_destinations(store.ctx)
    assert destination.last_state == "failed"
    assert "NERVIO_SECRETS__VAULT_KEY" in destination.last_words


async def test_a_change_without_secrets_leaves_them_and_one_with_all_of_them_seals_them_anew(store: Store) -> None:
    connection = await a_connection(store)
    moved = {"url": "https://ads.example/moved"}
    await actions.save_connection(store.ctx, OTHER, "Agency", "webhook", moved, connection_id=connection.id)
    assert (await open_account(store.ctx, VAULT, connection.id))[1].secrets == {"signing_secret": SIGNING_SECRET}
    given = {**moved, "signing_secret": "entered again"}
    await actions.save_connection(store.ctx, OTHER, "Agency", "webhook", given, connection_id=connection.id)
    assert (await open_account(store.ctx, OTHER, connection.id))[1].secrets == {"signing_secret": "entered again"}


async def test_a_destinations_secrets_can_be_entered_again_too(store: Store) -> None:
    given = {**FIELDS, "signing_secret": "first"}
    made = await alerts.save_destination(store.ctx, VAULT, "Hook", "webhook", given)
    given["signing_secret"] = "again"
    changed = await alerts.save_destination(store.ctx, OTHER, "Hook", "webhook", given, destination_id=made.id)
    assert changed.secrets_set == ("signing_secret",)


async def test_one_secret_of_several_is_not_enough_where_the_others_cannot_be_opened(store: Store) -> None:
    given = {"access_token": "t", "app_secret": "s"}
    made = await actions.save_connection(store.ctx, VAULT, "Meta", "meta_ads", given)
    one = {"access_token": "new"}
    changed = actions.save_connection(store.ctx, OTHER, "Meta", "meta_ads", one, connection_id=made.id)
    assert (await refused(changed)).code == "secrets_sealed"
    _, account = await open_account(store.ctx, VAULT, made.id)
    assert account.secrets == given
