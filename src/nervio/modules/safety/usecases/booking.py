"""Booking orders to campaigns: the intent, written inside the fence before anything leaves the house."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.events.actions import ACTION_BOOKED, ActionChanged
from nervio.kernel.errors import invalid
from nervio.kernel.ids import is_id, new_id
from nervio.kernel.time import SECOND, Instant
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.actions import (
    MANUAL,
    ActionKind,
    ActionState,
    BookActions,
    Booked,
    Step,
)
from nervio.modules.safety.domain.actions import check_cause
from nervio.modules.safety.domain.halts import check_reason
from nervio.modules.safety.store import actions as store
from nervio.modules.safety.store import campaigns
from nervio.modules.safety.store.actions import OpenAction

RESUMING_TOUCHES = ("ledger", "sales", "stock")
"""A stop of any of these keeps campaigns paused: what brings buyers must not start before the shop can serve them."""
MOST_TARGETS = 1000


def make_order(
    kind: ActionKind,
    products: Sequence[str] | None,
    named: Sequence[str] | None,
    reason: str,
    cause: str,
    deadline_seconds: int,
) -> BookActions:
    """What is booked for products, campaigns or, with neither, all of a tenant. Raises `invalid` naming the field."""
    for field, given in (("products", products), ("campaigns", named)):
        if given is not None and len(given) > MOST_TARGETS:
            raise invalid("too_many_targets", f"{field} must name at most {MOST_TARGETS}.", field=field)
        for n, one in enumerate(given or ()):
            if not is_id(one):
                raise invalid("invalid_id", f"{field} must be ids.", field=f"{field}[{n}]")
    return BookActions(
        kind,
        None if products is None else tuple(sorted(set(products))),
        None if named is None else tuple(sorted(set(named))),
        check_reason(reason),
        check_cause(cause),
        deadline_seconds,
    )


def _book(batch: Batch, command: Command[BookActions, Booked]) -> Booked:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    # Campaigns first and in order, so that two who book at once do so one after the other.
    targets = campaigns.lock_campaigns(connection, batch.dialect, body.product_ids, body.campaign_ids)
    ids = [campaign_id for campaign_id, _ in targets]
    held: set[str] = set()
    if body.kind is ActionKind.PAUSE:
        store.add_holds(connection, batch.dialect, ids, body.cause, batch.now)
    else:
        store.remove_holds(connection, ids, None if body.cause == MANUAL else body.cause)
        held = store.find_held(connection, ids)
    open_orders: dict[str, list[OpenAction]] = {}
    for order in store.lock_open_of(connection, batch.dialect, ids):
        open_orders.setdefault(order.campaign_id, []).append(order)
    other = ActionKind.RESUME if body.kind is ActionKind.PAUSE else ActionKind.PAUSE
    landing = store.find_landing(connection, ids, other)
    booked = []
    for campaign_id, connection_id in targets:
        if campaign_id in held:
            continue
        standing = open_orders.get(campaign_id, [])
        same = next((order.id for order in standing if order.progress.kind is body.kind), None)
        # A request of the other kind may still be on its way, also one that the order before this waited for; what is read
        # before that must be over proves nothing.
        lands = max([landing.get(campaign_id, 0), *(order.progress.confirm_after for order in standing)])
        booked.append(same or _insert(batch, command, body, campaign_id, connection_id, standing, lands))
    found = {action.id: action for action in store.find_actions(connection, booked)}
    return Booked(tuple(found[action_id] for action_id in booked), tuple(sorted(held)))


def rebook(batch: Batch, command: Command[Any, Any], campaign_id: str, connection_id: str) -> None:
    """Gives the open orders of a campaign that now lies elsewhere to where it lies. What was told to the former place stays
    there, and proves nothing here."""
    connection = TenantConnection(batch.connection, command.tenant_id)
    for order in store.lock_open_of(connection, batch.dialect, [campaign_id]):
        left = max(1, (order.progress.deadline_at - batch.now) // SECOND)
        again = BookActions(order.progress.kind, None, (campaign_id,), order.reason, order.cause, left)
        _insert(batch, command, again, campaign_id, connection_id, [order], 0)


def _insert(
    batch: Batch,
    command: Command[Any, Any],
    body: BookActions,
    campaign_id: str,
    connection_id: str,
    standing: list[OpenAction],
    confirm_after: Instant,
) -> str:
    """Adds an order; the open ones of the other kind end here."""
    connection, now = TenantConnection(batch.connection, command.tenant_id), batch.now
    for order in standing:
        replaced = replace(order.progress, state=ActionState.SUPERSEDED)
        store.write_progress(connection, order.id, replaced, now, None)
        journal(batch, command, order, ActionState.SUPERSEDED, "")
    action_id = new_id()
    row: dict[str, Any] = {
        "tenant_id": command.tenant_id,
        "id": action_id,
        "campaign_id": campaign_id,
        "connection_id": connection_id,
        "kind": body.kind.value,
        "state": ActionState.INTENT.value,
        "reason": body.reason,
        "cause": body.cause,
        "requested_by": command.actor_id,
        "created_at": now,
        "deadline_at": now + body.deadline_seconds * SECOND,
        "confirm_after": confirm_after,
        "step": Step.SEND.value,
        "next_at": now,
        "sends": 0,
        "readings": 0,
        "attempts": 0,
        "acknowledged": False,
        "refused": False,
        "claim_token": 0,
        "claimed_until": 0,
        "landing_until": 0,
        "words": "",
    }
    store.insert_action(batch.connection, row)
    details = {"kind": body.kind.value, "campaign_id": campaign_id, "cause": body.cause, "reason": body.reason}
    ledger.book(batch).post(command.tenant_id, command.actor_id, "action_booked", action_id, "", now, [], details)
    fact = ActionChanged(
        action_id,
        campaign_id,
        connection_id,
        body.kind.value,
        ActionState.INTENT.value,
        body.cause,
        body.reason,
        "",
    )
    batch.emit(command.tenant_id, ACTION_BOOKED, action_id, fact)
    return action_id


def journal(batch: Batch, command: Command[Any, Any], order: OpenAction, state: ActionState, words: str) -> None:
    """An entry of how far an order has come."""
    details = {
        "kind": order.progress.kind.value,
        "campaign_id": order.campaign_id,
        "cause": order.cause,
        "sends": order.progress.sends,
        "words": words,
    }
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, f"action_{state.value}", order.id, "", batch.now, [], details
    )


BOOK_PAUSE: Operation[BookActions, Booked] = Operation(
    "safety.book_pause", Effect.CONTROL, BookActions, Booked, _book, direct=True, touches=("ledger",)
)
BOOK_RESUME: Operation[BookActions, Booked] = Operation(
    "safety.book_resume", Effect.INCREASE, BookActions, Booked, _book, direct=True, touches=RESUMING_TOUCHES
)
