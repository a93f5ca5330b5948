"""The commands that write connections and campaigns."""

from __future__ import annotations

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.ids import new_id
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.actions import SaveCampaign, SaveConnection, Saved
from nervio.modules.safety.domain.breakers import CLOSED
from nervio.modules.safety.store import actions, campaigns
from nervio.modules.safety.usecases.booking import rebook


def _save_connection(batch: Batch, command: Command[SaveConnection, Saved]) -> Saved:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    if body.id is not None:
        found = campaigns.find_sealed(connection, body.id)
        if found is None:
            raise not_found("connection", body.id)
        if found[0] != body.platform.value:
            raise conflict("platform_fixed", "A connection keeps its platform; add another one.", field="platform")
    taken = campaigns.find_connection_id(connection, body.name)
    if taken is not None and taken != body.id:
        raise conflict("name_taken", f"There is a connection {body.name!r} already.", field="name")
    connection_id = body.id or new_id()
    if body.id is None:
        campaigns.insert_connection(batch, command.tenant_id, connection_id, body)
    else:
        campaigns.update_connection(batch, connection, body)
    # Whoever writes the account down says that it should work: what failed before was another account.
    actions.write_breaker(connection, batch.dialect, connection_id, CLOSED)
    details = {
        "name": body.name,
        "platform": body.platform.value,
        "active": body.active,
        "settings": body.settings,
        "secrets": list(body.secret_names),
    }
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "connection_saved", connection_id, body.name, batch.now, [], details
    )
    return Saved(connection_id)


def _save_campaign(batch: Batch, command: Command[SaveCampaign, Saved]) -> Saved:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    moved = False
    if body.id is not None:
        # Locked first, as by whoever books an order: none is booked at the account it leaves.
        campaigns.lock_campaign(connection, batch.dialect, body.id)
        place = campaigns.find_place(connection, body.id)
        if place is None:
            raise not_found("campaign", body.id)
        moved = place != (body.connection_id, body.external_id)
    # Locked, so that nobody deletes it while it gets a campaign.
    if campaigns.lock_connection(connection, batch.dialect, body.connection_id) is None:
        raise invalid("connection_not_found", "connection_id must name one of your connections.", field="connection_id")
    taken = campaigns.find_campaign_id(connection, body.connection_id, body.external_id)
    if taken is not None and taken != body.id:
        raise conflict(
            "campaign_taken",
            f"There is a campaign {body.external_id!r} of this connection already.",
            field="external_id",
        )
    campaign_id = body.id or new_id()
    if body.id is None:
        campaigns.insert_campaign(batch, command.tenant_id, campaign_id, body)
    else:
        campaigns.update_campaign(connection, body)
        if moved:
            campaigns.forget_status(connection, campaign_id)
            rebook(batch, command, campaign_id, body.connection_id)
    campaigns.write_products(connection, campaign_id, body.product_ids)
    details = {
        "name": body.name,
        "external_id": body.external_id,
        "daily_budget": body.daily_budget,
        "currency": body.currency,
        "products": len(body.product_ids),
        "active": body.active,
    }
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "campaign_saved", campaign_id, body.name, batch.now, [], details
    )
    return Saved(campaign_id)


SAVE_CONNECTION: Operation[SaveConnection, Saved] = Operation(
    "safety.save_connection",
    Effect.INCREASE,
    SaveConnection,
    Saved,
    _save_connection,
    direct=True,
    touches=("ledger",),
)
SAVE_CAMPAIGN: Operation[SaveCampaign, Saved] = Operation(
    "safety.save_campaign", Effect.INCREASE, SaveCampaign, Saved, _save_campaign, direct=True, touches=("ledger",)
)
