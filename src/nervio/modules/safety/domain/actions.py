"""Rules of external actions on plain values: what an answer means for an order, and when to try again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nervio.kernel.errors import invalid, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.money import LARGEST, check_currency
from nervio.kernel.time import SECOND, Instant
from nervio.modules.safety.contracts.actions import (
    GIVE_UP_SECONDS,
    ActionKind,
    ActionState,
    Field,
    SaveCampaign,
    Step,
)
from nervio.ports.actions import Answer, CampaignStatus, Outcome, Reading

LONGEST_NAME = 100
LONGEST_CAUSE = 200
LONGEST_WORDS = 500
MOST_PRODUCTS = 1000
LONGEST_VALUE = 4000

READINGS_BEFORE_SENDING_AGAIN = 3
"""A platform that took an order may need a moment to show it; after so many readings it is told again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When an order is tried again, escalated and given up. All in seconds."""

    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0
    longest_retry_after_seconds: float = 120.0
    """What a platform may ask us to wait; more is not believed while money runs out."""
    give_up_seconds: int = GIVE_UP_SECONDS
    claim_seconds: float = 45.0
    """How long a claim keeps others from the order: longer than a request may take."""
    refused_pause_seconds: float = 30.0
    """How long to wait before asking again where a pause was refused: somebody may mend the key meanwhile."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an open order stands: the part of it that answers and readings change."""

    kind: ActionKind
    state: ActionState
    step: Step
    created_at: Instant
    deadline_at: Instant
    confirm_after: Instant
    next_at: Instant
    sends: int = 0
    readings: int = 0
    attempts: int = 0
    acknowledged: bool = False
    refused: bool = False

    @property
    def wanted(self) -> CampaignStatus:
        """What the campaign should be seen doing."""
        return CampaignStatus.PAUSED if self.kind is ActionKind.PAUSE else CampaignStatus.RUNNING


def pause_before(attempts: int, policy: Policy, jitter: float) -> float:
    """Seconds before the next attempt: exponential with full jitter, a random part (`jitter` of 0 to 1) of the doubled time
    and never less than a tenth of the first, so that no draw turns into a busy loop.

    Brooker, "Exponential Backoff And Jitter" (2015): full jitter needs the fewest calls until all are through.
    """
    ceiling: float = min(policy.longest_pause_seconds, policy.first_pause_seconds * 2 ** min(attempts, 30))
    return max(policy.first_pause_seconds / 10, ceiling * jitter)


def after_answer(order: Progress, answer: Answer, now: Instant, policy: Policy, jitter: float) -> Progress:
    """The order after the platform was told."""
    if answer.outcome is Outcome.APPLIED:
        return _told(order, now, acknowledged=True, attempts=0)
    if answer.outcome is Outcome.REFUSED:
        # Read all the same: what was refused may have been true already.
        return replace(_told(order, now, acknowledged=False, attempts=order.attempts + 1), refused=True)
    wait = _wait(order, answer.retry_after_seconds, policy, jitter)
    if answer.outcome is Outcome.UNKNOWN:
        told = _told(order, now, acknowledged=False, attempts=order.attempts + 1)
        return _due(told, now, wait)
    return _due(replace(order, step=Step.SEND, attempts=order.attempts + 1), now, wait)


def after_reading(order: Progress, reading: Reading, now: Instant, policy: Policy, jitter: float) -> Progress:
    """The order after the campaign was read back."""
    gone = reading.status is CampaignStatus.GONE
    if reading.status is order.wanted or (gone and order.kind is ActionKind.PAUSE):
        if now < order.confirm_after:
            # An order that this one took the place of may still be on its way there.
            return replace(order, step=Step.READ, next_at=order.confirm_after)
        return replace(order, state=ActionState.CONFIRMED, next_at=now)
    if order.kind is ActionKind.RESUME and (gone or order.refused):
        return replace(order, state=ActionState.FAILED, next_at=now)
    readings = order.readings + 1
    progress = replace(order, readings=readings, attempts=order.attempts + 1, refused=False)
    wait = _wait(order, reading.retry_after_seconds, policy, jitter)
    if order.refused:
        # A pause that is refused is still a campaign that spends: people are told now, and it is tried until they mend it.
        escalated = replace(progress, state=ActionState.ESCALATED, step=Step.SEND)
        return _due(escalated, now, max(wait, policy.refused_pause_seconds))
    if reading.status is CampaignStatus.UNKNOWN:
        # A pause may be repeated blindly: twice paused is paused. A resume may not.
        again = order.kind is ActionKind.PAUSE and readings % 2 == 0
        return _due(replace(progress, step=Step.SEND if again else Step.READ), now, wait)
    enough = not order.acknowledged or readings >= READINGS_BEFORE_SENDING_AGAIN
    if enough and readings == 1:
        wait = 0.0  # it never arrived, as we now know
    return _due(replace(progress, step=Step.SEND if enough else Step.READ), now, wait)


def when_overdue(order: Progress, now: Instant, policy: Policy) -> Progress:
    """The order, escalated or given up where its time is over."""
    if order.state not in (ActionState.INTENT, ActionState.SENT, ActionState.ESCALATED):
        return order
    if now >= order.created_at + policy.give_up_seconds * SECOND:
        return replace(order, state=ActionState.FAILED)
    if order.state is not ActionState.ESCALATED and now >= order.deadline_at:
        return replace(order, state=ActionState.ESCALATED)
    return order


def _told(order: Progress, now: Instant, *, acknowledged: bool, attempts: int) -> Progress:
    state = ActionState.SENT if order.state is ActionState.INTENT else order.state
    return replace(
        order, state=state, step=Step.READ, next_at=now, readings=0, attempts=attempts, acknowledged=acknowledged
    )


def _wait(order: Progress, asked: float | None, policy: Policy, jitter: float) -> float:
    own = pause_before(order.attempts, policy, jitter)
    return own if asked is None else max(own, min(max(asked, 0.0), policy.longest_retry_after_seconds))


def _due(order: Progress, now: Instant, seconds: float) -> Progress:
    return replace(order, next_at=now + int(seconds * SECOND))


# -- what people type ------------------------------------------------------------------------------------------------


def check_name(name: str, field: str = "name") -> str:
    """A name without surrounding space."""
    given = name.strip()
    if not 1 <= len(given) <= LONGEST_NAME or not given.isprintable():
        raise invalid("invalid_name", f"{field} must have 1 to {LONGEST_NAME} printable characters.", field=field)
    return given


def check_cause(cause: str) -> str:
    """What makes an order: a short stable name, by which the same cause lets go again."""
    if not 1 <= len(cause) <= LONGEST_CAUSE or not cause.isprintable():
        raise invalid("invalid_cause", f"cause must have 1 to {LONGEST_CAUSE} printable characters.", field="cause")
    return cause


def check_campaign(campaign: SaveCampaign) -> SaveCampaign:
    """The campaign with its texts trimmed and its products once each, sorted."""
    if campaign.id is not None and not is_id(campaign.id):
        raise not_found("campaign", campaign.id)
    if not is_id(campaign.connection_id):
        raise invalid("connection_not_found", "connection_id must name one of your connections.", field="connection_id")
    external_id = campaign.external_id.strip()
    if not 1 <= len(external_id) <= LONGEST_NAME or not external_id.isprintable():
        raise invalid(
            "invalid_external_id", f"external_id must have 1 to {LONGEST_NAME} characters.", field="external_id"
        )
    if not 0 <= campaign.daily_budget <= LARGEST:
        raise invalid("amount_out_of_range", "daily_budget is out of range.", field="daily_budget")
    if len(campaign.product_ids) > MOST_PRODUCTS:
        raise invalid("too_many_products", f"A campaign has at most {MOST_PRODUCTS} products.", field="product_ids")
    for n, product_id in enumerate(campaign.product_ids):
        if not is_id(product_id):
            raise invalid("invalid_product", "product_ids must be ids of products.", field=f"product_ids[{n}]")
    return replace(
        campaign,
        name=check_name(campaign.name),
        external_id=external_id,
        currency=check_currency(campaign.currency, "currency"),
        product_ids=tuple(sorted(set(campaign.product_ids))),
    )


def split_fields(
    fields: Sequence[Field], given: Mapping[str, str], *, is_new: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """(settings, secrets) out of what was given, checked against what there must be.

    An empty secret keeps the one that is there, so a change need not repeat it.
    """
    known = {field.name: field for field in fields}
    for name, value in given.items():
        if name not in known:
            raise invalid("unknown_field", f"{name} is not a field of this.", field=name)
        if len(value) > LONGEST_VALUE or not value.isprintable():
            raise invalid("invalid_value", f"{name} must be printable text.", field=name)
    settings: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for field in fields:
        value = given.get(field.name, "").strip()
        if not value and field.required and (is_new or not field.secret):
            raise invalid("missing_field", f"{field.name} is required.", field=field.name)
        if value:
            (secrets if field.secret else settings)[field.name] = value
    return settings, secrets


def shortened(words: str) -> str:
    """A platform's words, as far as they are kept: printable, at most 500 characters."""
    clean = "".join(letter if letter.isprintable() else " " for letter in words).strip()
    return clean if len(clean) <= LONGEST_WORDS else f"{clean[: LONGEST_WORDS - 1]}…"
