"""The commands by which a worker takes orders, writes down what came of them, and escalates what took too long.

An order is claimed inside the fence, and the same transaction counts the request that is about to leave. Whoever finds the
order after a crash therefore reads back before anything is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.events.actions import ACTION_CONFIRMED, ACTION_ESCALATED, ACTION_FAILED, ActionChanged
from nervio.kernel.money import format_amount
from nervio.kernel.time import SECOND, Instant
from nervio.modules.safety.contracts.actions import OPEN_STATES, ActionKind, ActionState, Step
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.modules.safety.domain import alerts as alert_words
from nervio.modules.safety.domain.actions import Policy, Progress, after_answer, after_reading, shortened, when_overdue
from nervio.modules.safety.domain.breakers import admit, after_failure, after_success, try_again_at
from nervio.modules.safety.store import actions as store
from nervio.modules.safety.store import campaigns
from nervio.modules.safety.store.actions import OpenAction
from nervio.modules.safety.usecases.alerting import raise_in
from nervio.modules.safety.usecases.booking import RESUMING_TOUCHES, journal
from nervio.ports.actions import Answer, CampaignStatus, Outcome, Reading

_EVENTS = {
    ActionState.CONFIRMED: ACTION_CONFIRMED,
    ActionState.ESCALATED: ACTION_ESCALATED,
    ActionState.FAILED: ACTION_FAILED,
}
PARKED_SECONDS = 2
"""How long a resume waits before it asks again whether the stop is over."""


@dataclass(frozen=True, slots=True)
class ClaimActions:
    """Asks for work: at most `limit` orders, for `seconds`."""

    owner: str
    seconds: float
    limit: int


@dataclass(frozen=True, slots=True)
class ClaimedAction:
    """An order that is this worker's for a while, and the one step to take."""

    id: str
    campaign_id: str
    connection_id: str
    external_id: str
    kind: ActionKind
    step: Step
    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The orders."""

    actions: tuple[ClaimedAction, ...]


@dataclass(frozen=True, slots=True)
class RecordStep:
    """What came of a step. `answer` after sending, `reading` after reading back, neither where a stop kept it from leaving.

    `jitter` (0 to 1) is drawn by the worker, so that the decision itself is the same whenever it is made again.
    """

    action: ClaimedAction
    answer: Answer | None
    reading: Reading | None
    jitter: float
    policy: Policy


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the order stands. `is_stale`: somebody else has claimed it since, and nothing of it was written."""

    state: ActionState
    next_at: Instant
    created_at: Instant
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class EscalateActions:
    """Escalates, or gives up, what is overdue."""

    limit: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class Escalated:
    """How many."""

    count: int


def _claiming(resumes: bool) -> Callable[[Batch, Command[ClaimActions, Claimed]], Claimed]:
    def claim(batch: Batch, command: Command[ClaimActions, Claimed]) -> Claimed:
        body, connection, now = command.body, TenantConnection(batch.connection, command.tenant_id), batch.now
        until = now + int(body.seconds * SECOND)
        due = store.lock_due(connection, batch.dialect, now, body.limit, resumes=resumes)
        names = campaigns.find_external_ids(connection, [order.campaign_id for order in due])
        claimed = []
        for order in due:
            if resumes and not _is_admitted(batch, connection, order):
                continue
            store.claim(connection, order.id, body.owner, until)
            if order.progress.step is Step.SEND:
                store.arm(connection, order.id, now, until)
            claimed.append(
                ClaimedAction(
                    order.id,
                    order.campaign_id,
                    order.connection_id,
                    names[order.campaign_id],
                    order.progress.kind,
                    order.progress.step,
                    order.claim_token + 1,
                    order.reason,
                )
            )
        return Claimed(tuple(claimed))

    return claim


def _is_admitted(batch: Batch, connection: TenantConnection, order: OpenAction) -> bool:
    """Asks the breaker, whose state is read in this very transaction: if it cannot be read, nothing is claimed at all."""
    found = store.read_breaker(connection, batch.dialect, order.connection_id)
    admitted, breaker = admit(found, batch.now)
    if breaker != found:
        store.write_breaker(connection, batch.dialect, order.connection_id, breaker)
    if not admitted:
        store.release_until(connection, order.id, try_again_at(breaker, batch.now))
    return admitted


def _record(batch: Batch, command: Command[RecordStep, Recorded]) -> Recorded:
    body, connection, now = command.body, TenantConnection(batch.connection, command.tenant_id), batch.now
    # The campaign first, as everywhere, so that booking and recording wait for each other in one order.
    campaigns.lock_campaign(connection, batch.dialect, body.action.campaign_id)
    order = store.lock_action(connection, batch.dialect, body.action.id)
    assert order is not None, "orders are never removed"
    _learn(batch, connection, body)
    before = order.progress
    if order.claim_token != body.action.token or before.state not in OPEN_STATES:
        return Recorded(before.state, before.next_at, before.created_at, is_stale=True)
    if body.answer is not None:
        after = after_answer(before, body.answer, now, body.policy, body.jitter)
    elif body.reading is not None:
        after = after_reading(before, body.reading, now, body.policy, body.jitter)
    else:
        after = replace(before, step=Step.SEND, next_at=now + PARKED_SECONDS * SECOND)
    after = when_overdue(after, now, body.policy)
    said = body.answer or body.reading
    words = None if said is None else shortened(said.words)
    store.write_progress(connection, order.id, after, now, words, has_landed=_has_landed(before, body.answer))
    if after.state is not before.state:
        _announce(batch, command, order, after.state, words or "")
    return Recorded(after.state, after.next_at, after.created_at)


def _has_landed(order: Progress, answer: Answer | None) -> bool:
    """Whether the answer says so of all requests there were: of one before it nobody heard."""
    return answer is not None and answer.outcome is not Outcome.UNKNOWN and order.sends <= 1


def _learn(batch: Batch, connection: TenantConnection, body: RecordStep) -> None:
    """What the step tells of the campaign and of the platform, whoever owns the order by now."""
    if body.answer is not None:
        sound = body.answer.outcome in (Outcome.APPLIED, Outcome.REFUSED)
    elif body.reading is not None:
        sound = body.reading.status is not CampaignStatus.UNKNOWN
        if sound:
            campaigns.write_status(connection, body.action.campaign_id, body.reading.status.value, batch.now)
    else:
        return
    found = store.read_breaker(connection, batch.dialect, body.action.connection_id)
    breaker = after_success(found) if sound else after_failure(found, batch.now)
    if breaker != found:
        store.write_breaker(connection, batch.dialect, body.action.connection_id, breaker)


def _escalate(batch: Batch, command: Command[EscalateActions, Escalated]) -> Escalated:
    body, connection, now = command.body, TenantConnection(batch.connection, command.tenant_id), batch.now
    given_up = now - body.policy.give_up_seconds * SECOND
    overdue = store.lock_overdue(connection, batch.dialect, now, given_up, body.limit)
    for order in overdue:
        state = when_overdue(order.progress, now, body.policy).state
        store.escalate(connection, order.id, state, now)
        _announce(batch, command, order, state, "")
    return Escalated(len(overdue))


def _announce(batch: Batch, command: Command[Any, Any], order: OpenAction, state: ActionState, words: str) -> None:
    """Journals a transition, tells of it as an event, and calls people where they are needed: all in its transaction."""
    journal(batch, command, order, state, words)
    kind = order.progress.kind
    event = _EVENTS.get(state)
    if event is not None:
        fact = ActionChanged(
            order.id,
            order.campaign_id,
            order.connection_id,
            kind.value,
            state.value,
            order.cause,
            order.reason,
            words,
        )
        batch.emit(command.tenant_id, event, order.id, fact)
    if state in (ActionState.ESCALATED, ActionState.FAILED):
        connection = TenantConnection(batch.connection, command.tenant_id)
        (record,) = store.find_actions(connection, [order.id])
        escalated = state is ActionState.ESCALATED
        figures = {
            "kind": kind.value,
            "campaign": record.campaign_name,
            "reason": record.reason,
            "words": record.words or "—",
            "spend_per_hour": format_amount(record.spend_per_hour, record.currency),
            "currency": record.currency,
        }
        alert = Alert(
            Severity.CRITICAL if kind is ActionKind.PAUSE else Severity.WARNING,
            alert_words.ACTION_ESCALATED if escalated else alert_words.ACTION_FAILED,
            "",
            "",
            f"action:{order.id}:{state.value}",
            "/console/safety/actions",
            figures,
        )
        raise_in(batch, command.tenant_id, alert)


CLAIM: Operation[ClaimActions, Claimed] = Operation(
    "safety.claim_actions", Effect.CONTROL, ClaimActions, Claimed, _claiming(resumes=False), direct=True
)
"""Pauses, and resumes that only have to be read back."""
CLAIM_RESUMES: Operation[ClaimActions, Claimed] = Operation(
    "safety.claim_resumes",
    Effect.INCREASE,
    ClaimActions,
    Claimed,
    _claiming(resumes=True),
    direct=True,
    touches=RESUMING_TOUCHES,
)
"""Resumes that are to be sent: refused while a stop covers the tenant, and by the breaker."""
RECORD: Operation[RecordStep, Recorded] = Operation(
    "safety.record_action", Effect.CONTROL, RecordStep, Recorded, _record, direct=True, touches=("ledger",)
)
ESCALATE: Operation[EscalateActions, Escalated] = Operation(
    "safety.escalate_actions", Effect.CONTROL, EscalateActions, Escalated, _escalate, direct=True, touches=("ledger",)
)
