"""The commands that delete connections, campaigns and destinations of alerts.

Their rows stay, without secrets, for the orders and deliveries that name them; nobody is shown them any more.
"""

from __future__ import annotations

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict, not_found
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.actions import Delete, Deleted
from nervio.modules.safety.store import actions, alerts, campaigns


def _delete_connection(batch: Batch, command: Command[Delete, Deleted]) -> Deleted:
    connection_id, connection = command.body.id, TenantConnection(batch.connection, command.tenant_id)
    name = campaigns.lock_connection(connection, batch.dialect, connection_id)
    if name is None:
        raise not_found("connection", connection_id)
    if campaigns.has_campaigns(connection, connection_id):
        raise conflict("connection_in_use", f"The connection {name!r} has campaigns; delete those first.")
    campaigns.delete_connection(connection, connection_id, name, batch.now)
    return _journalled(batch, command, "connection_deleted", name)


def _delete_campaign(batch: Batch, command: Command[Delete, Deleted]) -> Deleted:
    campaign_id, connection = command.body.id, TenantConnection(batch.connection, command.tenant_id)
    # The campaign first, as everywhere, so that booking and deleting wait for each other.
    campaigns.lock_campaign(connection, batch.dialect, campaign_id)
    found = campaigns.list_campaigns(connection, None, 1, campaign_id)
    if not found:
        raise not_found("campaign", campaign_id)
    if actions.lock_open_of(connection, batch.dialect, [campaign_id]):
        raise _under_way(found[0].name)
    campaigns.delete_campaign(connection, campaign_id, found[0].external_id, batch.now)
    return _journalled(batch, command, "campaign_deleted", found[0].name, external_id=found[0].external_id)


def _delete_destination(batch: Batch, command: Command[Delete, Deleted]) -> Deleted:
    destination_id, connection = command.body.id, TenantConnection(batch.connection, command.tenant_id)
    name = alerts.lock_destination(connection, batch.dialect, destination_id)
    if name is None:
        raise not_found("destination", destination_id)
    alerts.delete_destination(connection, destination_id, name, batch.now)
    return _journalled(batch, command, "destination_deleted", name)


def _under_way(name: str) -> Exception:
    return conflict(
        "orders_under_way", f"An order to {name!r} is under way; delete it once that is confirmed or given up."
    )


def _journalled(batch: Batch, command: Command[Delete, Deleted], kind: str, name: str, **more: str) -> Deleted:
    gone, details = command.body.id, {"name": name, **more}
    ledger.book(batch).post(command.tenant_id, command.actor_id, kind, gone, name, batch.now, [], details)
    return Deleted(gone, name)


DELETE_CONNECTION: Operation[Delete, Deleted] = Operation(
    "safety.delete_connection", Effect.INCREASE, Delete, Deleted, _delete_connection, direct=True, touches=("ledger",)
)
DELETE_CAMPAIGN: Operation[Delete, Deleted] = Operation(
    "safety.delete_campaign", Effect.INCREASE, Delete, Deleted, _delete_campaign, direct=True, touches=("ledger",)
)
DELETE_DESTINATION: Operation[Delete, Deleted] = Operation(
    "safety.delete_destination", Effect.INCREASE, Delete, Deleted, _delete_destination, direct=True, touches=("ledger",)
)
