"""The commands that raise alerts, settle their deliveries and say where they go."""

from __future__ import annotations

from dataclasses import dataclass

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.events.actions import CRITICAL_FAILURE, CriticalFailure
from nervio.kernel.errors import conflict, not_found
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND, Instant
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.actions import Saved
from nervio.modules.safety.contracts.alerts import (
    AcknowledgeAlert,
    Alert,
    AlertRaised,
    AlertSettled,
    RaiseAlert,
    SaveDestination,
)
from nervio.modules.safety.domain.alerts import LONGEST_PAUSE_SECONDS, MOST_ATTEMPTS
from nervio.modules.safety.store import alerts as store
from nervio.modules.safety.store.alerts import DueDelivery
from nervio.ports.alerts import Delivery

WINDOW_SECONDS = 3600
"""For how long the same alert counts up before it is a new one."""


@dataclass(frozen=True, slots=True)
class ClaimDeliveries:
    """Asks for work."""

    seconds: float
    limit: int


@dataclass(frozen=True, slots=True)
class ClaimedDeliveries:
    """Deliveries that are this worker's for a while."""

    due: tuple[DueDelivery, ...]


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    """What came of one. `pause_seconds` says when to try again where it is tried again."""

    delivery: DueDelivery
    outcome: Delivery
    words: str
    pause_seconds: float


def raise_in(
    batch: Batch, tenant_id: str, alert: Alert, *, window_seconds: int = WINDOW_SECONDS, only: str | None = None
) -> AlertRaised:
    """Raises an alert in the transaction of what it tells of, so that neither is there without the other."""
    connection = TenantConnection(batch.connection, tenant_id)
    newest = store.lock_newest(connection, batch.dialect, alert.dedup_key)
    if newest is not None and newest[2] > batch.now - window_seconds * SECOND:
        alert_id, before, _, _ = newest
        rises = alert.severity.rank > before.rank
        count = store.count_up(connection, alert_id, alert, alert.severity if rises else before, batch.now)
        if rises:
            _send(batch, connection, alert_id, alert, only)
        return AlertRaised(alert_id, count, rises)
    alert_id = new_id()
    store.insert_alert(batch.connection, tenant_id, alert_id, alert, 1 if newest is None else newest[3] + 1, batch.now)
    _send(batch, connection, alert_id, alert, only)
    return AlertRaised(alert_id, 1, True)


def _send(batch: Batch, connection: TenantConnection, alert_id: str, alert: Alert, only: str | None) -> None:
    wanted = [
        destination_id
        for destination_id, least_severity, active in store.list_ways(connection)
        if destination_id == only or (only is None and active and alert.severity.rank >= least_severity.rank)
    ]
    rows = [(new_id(), destination_id) for destination_id in wanted]
    store.insert_deliveries(batch.connection, connection.tenant_id, alert_id, alert.severity, rows, batch.now)


def _raise(batch: Batch, command: Command[RaiseAlert, AlertRaised]) -> AlertRaised:
    body = command.body
    if body.destination_id is not None:
        found = store.find_sealed(TenantConnection(batch.connection, command.tenant_id), body.destination_id)
        if found is None:
            raise not_found("destination", body.destination_id)
    alert = body.alert
    raised = raise_in(batch, command.tenant_id, alert, window_seconds=body.window_seconds, only=body.destination_id)
    if body.is_critical_failure:
        fact = CriticalFailure(raised.id, alert.code, alert.title, alert.body, command.actor_id)
        batch.emit(command.tenant_id, CRITICAL_FAILURE, raised.id, fact)
        details = {"code": alert.code, "title": alert.title}
        ledger.book(batch).post(
            command.tenant_id, command.actor_id, "critical_failure", raised.id, "", batch.now, [], details
        )
    return raised


def _acknowledge(batch: Batch, command: Command[AcknowledgeAlert, AlertSettled]) -> AlertSettled:
    connection = TenantConnection(batch.connection, command.tenant_id)
    if not store.acknowledge(connection, command.body.alert_id, command.actor_id, batch.now):
        raise not_found("alert", command.body.alert_id)
    return AlertSettled(command.body.alert_id)


def _save_destination(batch: Batch, command: Command[SaveDestination, Saved]) -> Saved:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    if body.id is not None and store.find_sealed(connection, body.id) is None:
        raise not_found("destination", body.id)
    taken = store.find_destination_id(connection, body.name)
    if taken is not None and taken != body.id:
        raise conflict("name_taken", f"There is a destination {body.name!r} already.", field="name")
    destination_id = body.id or new_id()
    store.write_destination(connection, destination_id, body, is_new=body.id is None)
    details = {"name": body.name, "kind": body.kind.value, "active": body.active, "secrets": list(body.secret_names)}
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "destination_saved", destination_id, body.name, batch.now, [], details
    )
    return Saved(destination_id)


def _claim(batch: Batch, command: Command[ClaimDeliveries, ClaimedDeliveries]) -> ClaimedDeliveries:
    connection = TenantConnection(batch.connection, command.tenant_id)
    until: Instant = batch.now + int(command.body.seconds * SECOND)
    return ClaimedDeliveries(
        tuple(store.claim_deliveries(connection, batch.dialect, batch.now, until, command.body.limit))
    )


def _record(batch: Batch, command: Command[RecordDelivery, AlertSettled]) -> AlertSettled:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    delivery = body.delivery
    over = body.outcome is not Delivery.FAILED or delivery.attempts >= MOST_ATTEMPTS
    state = "sent" if body.outcome is Delivery.SENT else "failed" if over else "waiting"
    pause = min(body.pause_seconds, LONGEST_PAUSE_SECONDS)
    store.settle_delivery(
        connection,
        delivery.id,
        delivery.claim_token,
        {
            "state": state,
            "words": body.words,
            "next_at": batch.now + int(pause * SECOND),
            "settled_at": batch.now if over else None,
        },
    )
    return AlertSettled(delivery.alert_id)


RAISE: Operation[RaiseAlert, AlertRaised] = Operation(
    "safety.raise_alert", Effect.CONTROL, RaiseAlert, AlertRaised, _raise, direct=True, touches=("ledger",)
)
ACKNOWLEDGE: Operation[AcknowledgeAlert, AlertSettled] = Operation(
    "safety.acknowledge_alert", Effect.REDUCE, AcknowledgeAlert, AlertSettled, _acknowledge, direct=True
)
SAVE_DESTINATION: Operation[SaveDestination, Saved] = Operation(
    "safety.save_destination",
    Effect.INCREASE,
    SaveDestination,
    Saved,
    _save_destination,
    direct=True,
    touches=("ledger",),
)
CLAIM_DELIVERIES: Operation[ClaimDeliveries, ClaimedDeliveries] = Operation(
    "safety.claim_deliveries", Effect.CONTROL, ClaimDeliveries, ClaimedDeliveries, _claim, direct=True
)
RECORD_DELIVERY: Operation[RecordDelivery, AlertSettled] = Operation(
    "safety.record_delivery", Effect.CONTROL, RecordDelivery, AlertSettled, _record, direct=True
)
