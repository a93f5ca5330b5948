"""What the tests of external actions start from: a connection, campaigns on it, and the orders they have."""

from collections.abc import Sequence

from nervio.db.vault import Vault, new_key
from nervio.kernel.ids import new_id
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import ActionRecord, Campaign, Connection, SaveCampaign
from tests.builders import Store

VAULT = Vault(new_key())
SIGNING_SECRET = "a signing secret"


async def a_connection(
    store: Store, url: str = "https://ads.example/orders", name: str = "Agency", status_url: str = ""
) -> Connection:
    """A webhook connection."""
    fields = {"url": url, "status_url": status_url, "signing_secret": SIGNING_SECRET}
    return await actions.save_connection(store.ctx, VAULT, name, "webhook", fields)


async def a_campaign(
    store: Store,
    connection: Connection,
    *,
    name: str | None = None,
    products: Sequence[str] = (),
    daily_budget: int = 240_000,
    external_id: str | None = None,
) -> Campaign:
    """A campaign of 2,400.00 ARS a day, which is 100.00 an hour."""
    external = external_id or f"C-{new_id()[-6:]}"
    given = SaveCampaign(
        None, connection.id, external, name or f"Campaign {external}", daily_budget, "ARS", tuple(products)
    )
    return await actions.save_campaign(store.ctx, given)


async def the_action(store: Store, action_id: str) -> ActionRecord:
    """An order as it stands now."""
    return await actions.get_action(store.ctx, action_id)
