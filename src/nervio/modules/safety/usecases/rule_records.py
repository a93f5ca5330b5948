"""The writes of the rules: settings that change, trips, clears, and what came of an action."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.events.safety import RULE_CHANGED, RULE_CLEARED, RULE_TRIPPED, RuleChanged, RuleCleared, RuleTripped
from nervio.kernel.errors import conflict
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.rules import (
    ChangeRule,
    Mode,
    Phase,
    RecordClear,
    RecordDeed,
    Recorded,
    RecordTrip,
    RuleSaved,
)
from nervio.modules.safety.store import rules as store
from nervio.modules.safety.store.rules import RuleRow, StateRow

IN_SHADOW = "shadow"
"""The outcome of a trip that was not acted on because the rule was in shadow."""


def trip_key(body: RecordTrip) -> str:
    """The idempotency key of a trip. The revision is part of it, so that a trip refused since the rule was changed meanwhile
    is no answer to the one that comes after; the moment too, since numbers begin anew where an old state was pruned."""
    return f"{body.rule}:{body.subject}:{body.number}:{body.revision}:{body.at}"


def clear_key(body: RecordClear) -> str:
    """The idempotency key of a clear."""
    return f"{body.rule}:{body.subject}:{body.number}:{body.at}"


def _record_trip(batch: Batch, command: Command[RecordTrip, Recorded]) -> Recorded:
    body, tenant_id, connection = command.body, command.tenant_id, batch.connection
    rule = store.find_rule(connection, tenant_id, body.rule)
    if body.revision != (0 if rule is None else rule.revision):
        raise conflict("rule_changed", "The rule was changed while it was looking; it looks again.", rule=body.rule)
    state = store.find_state(connection, tenant_id, body.rule, body.subject)
    _check_number(state, body.number, tripped=False)
    trip_id = batch.new_id()
    acts = body.mode is Mode.ON
    store.insert_trip(connection, tenant_id, trip_id, body, store.TO_DO if acts else IN_SHADOW)
    store.save_state(
        connection, StateRow(tenant_id, body.rule, body.subject, Phase.TRIPPED, body.at, body.number, trip_id), 0
    )
    details = {**asdict(body), "figures": dict(body.figures)}
    ledger.book(batch).post(
        tenant_id, command.actor_id, "rule_tripped", trip_id, body.rule, batch.now, [], _plain(details)
    )
    fact = RuleTripped(
        trip_id=trip_id,
        rule=body.rule,
        subject=body.subject,
        mode=body.mode.value,
        action=body.action.value,
        reach=body.reach.value,
        product_id=body.product_id,
        location_id=body.location_id,
        value=body.value,
        samples=body.samples,
        threshold=body.threshold,
        sentence=body.sentence,
        tripped_at=body.at,
    )
    batch.emit(tenant_id, RULE_TRIPPED, f"{body.rule}:{body.subject}", fact)
    return Recorded(trip_id)


def _record_clear(batch: Batch, command: Command[RecordClear, Recorded]) -> Recorded:
    body, tenant_id, connection = command.body, command.tenant_id, batch.connection
    state = store.find_state(connection, tenant_id, body.rule, body.subject)
    _check_number(state, body.number, tripped=True)
    assert state is not None
    cleared = StateRow(tenant_id, body.rule, body.subject, Phase.COOLING, body.at, body.number, state.trip_id)
    store.save_state(connection, cleared, body.quiet_at)
    store.clear_trip(connection, tenant_id, state.trip_id, body.at, body.value, command.actor_id)
    ledger.book(batch).post(
        tenant_id, command.actor_id, "rule_cleared", state.trip_id, body.rule, batch.now, [], _plain(asdict(body))
    )
    fact = RuleCleared(state.trip_id, body.rule, body.subject, body.value, command.actor_id, body.at)
    batch.emit(tenant_id, RULE_CLEARED, f"{body.rule}:{body.subject}", fact)
    return Recorded(state.trip_id)


def _check_number(state: StateRow | None, number: int, *, tripped: bool) -> None:
    """Refuses a transition that somebody else has made already: two leaders may look at the same moment."""
    stands = state is not None and state.phase is Phase.TRIPPED
    if number != (0 if state is None else state.number) + 1 or stands is not tripped:
        raise conflict("rule_state_moved", "The rule's state has moved on since it was read.")


def _record_deed(batch: Batch, command: Command[RecordDeed, Recorded]) -> Recorded:
    body = command.body
    store.settle_deed(batch.connection, command.tenant_id, body.trip_id, body.outcome)
    return Recorded(body.trip_id)


def _change_rule(batch: Batch, command: Command[ChangeRule, RuleSaved]) -> RuleSaved:
    """What the rule had tripped on is let go: under its new settings it looks at everything anew."""
    body, tenant_id, connection = command.body, command.tenant_id, batch.connection
    before = store.find_rule(connection, tenant_id, body.rule)
    revision = 1 if before is None else before.revision + 1
    stored = msgspec.json.encode(dict(body.settings)).decode()
    store.save_rule(connection, RuleRow(tenant_id, body.rule, stored, revision, command.actor_id, batch.now))
    let_go = store.reset_rule(connection, tenant_id, body.rule, batch.now, command.actor_id)
    was = {} if before is None else msgspec.json.decode(before.settings)
    details = {
        "rule": body.rule,
        "revision": revision,
        "settings": dict(body.settings),
        "before": {name: was[name] for name in was if was[name] != body.settings.get(name)},
        "let_go": let_go,
    }
    ledger.book(batch).post(
        tenant_id, command.actor_id, "rule_changed", f"{body.rule}:{revision}", body.rule, batch.now, [], details
    )
    fact = RuleChanged(body.rule, revision, command.actor_id, batch.now, let_go)
    batch.emit(tenant_id, RULE_CHANGED, body.rule, fact)
    return RuleSaved(revision)


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(details)
    return plain


# All four pass a stop: rules look and campaigns are paused while a shop stands still, and a rule that stopped it by
# mistake has to be switched off before anybody lets go.
RECORD_TRIP: Operation[RecordTrip, Recorded] = Operation(
    "safety.record_trip", Effect.CONTROL, RecordTrip, Recorded, _record_trip, direct=True, touches=("ledger",)
)
RECORD_CLEAR: Operation[RecordClear, Recorded] = Operation(
    "safety.record_clear", Effect.CONTROL, RecordClear, Recorded, _record_clear, direct=True, touches=("ledger",)
)
RECORD_DEED: Operation[RecordDeed, Recorded] = Operation(
    "safety.record_deed", Effect.CONTROL, RecordDeed, Recorded, _record_deed, direct=True
)
CHANGE_RULE: Operation[ChangeRule, RuleSaved] = Operation(
    "safety.change_rule", Effect.CONTROL, ChangeRule, RuleSaved, _change_rule, direct=True, touches=("ledger",)
)
