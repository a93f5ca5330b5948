"""External actions as other modules, routes and the console see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nervio.kernel.money import round_half_up
from nervio.kernel.time import DAY, SECOND, Instant

MANUAL = "manual"
"""The cause of what a person asks for. Resuming by it lets go of every other cause's hold as well."""
EMERGENCY = "emergency"
"""The cause of what the emergency stop asks for."""
DEADLINE_SECONDS = 60
GIVE_UP_SECONDS = 24 * 3600
"""After which an order is escalated, and given up, where no settings say otherwise."""


class Platform(StrEnum):
    """Where campaigns run."""

    WEBHOOK = "webhook"
    GOOGLE_ADS = "google_ads"
    META_ADS = "meta_ads"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a connection. `secret` ones are sealed and never shown again."""

    name: str
    required: bool = True
    secret: bool = False


CONNECTION_FIELDS: dict[Platform, tuple[Field, ...]] = {
    Platform.WEBHOOK: (
        Field("url"),
        Field("status_url", required=False),
        Field("signing_secret", secret=True),
    ),
    Platform.GOOGLE_ADS: (
        Field("customer_id"),
        Field("login_customer_id", required=False),
        Field("developer_token", secret=True),
        Field("client_id", secret=True),
        Field("client_secret", secret=True),
        Field("refresh_token", secret=True),
    ),
    Platform.META_ADS: (
        Field("account_id", required=False),
        Field("access_token", secret=True),
        Field("app_secret", secret=True),
    ),
}
"""What each platform must be told."""


class ActionKind(StrEnum):
    """What is asked of a campaign."""

    PAUSE = "pause"
    RESUME = "resume"


class ActionState(StrEnum):
    """How far an order has come."""

    INTENT = "intent"
    """Booked; nothing can have happened outside yet."""
    SENT = "sent"
    """Given, or perhaps given; the campaign has not been seen doing it."""
    CONFIRMED = "confirmed"
    """The platform was read back and says so."""
    ESCALATED = "escalated"
    """Its time is over and it is not confirmed. People were told; trying goes on."""
    FAILED = "failed"
    """Given up, unconfirmed."""
    SUPERSEDED = "superseded"
    """A later order for the same campaign took its place."""


OPEN_STATES = (ActionState.INTENT, ActionState.SENT, ActionState.ESCALATED)


class Step(StrEnum):
    """What an open order waits for."""

    SEND = "send"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Connection:
    """An account of a platform. Its secrets are told by name only."""

    id: str
    name: str
    platform: Platform
    settings: dict[str, str]
    secrets_set: tuple[str, ...]
    active: bool
    updated_at: Instant
    breaker: str = "open"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign Nervio may pause, and the products it advertises."""

    id: str
    connection_id: str
    connection_name: str
    platform: Platform
    external_id: str
    name: str
    daily_budget: int
    """Minor units of `currency` a day; what a day unconfirmed may cost."""
    currency: str
    status: str
    status_at: Instant | None
    product_ids: tuple[str, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """One order to one campaign."""

    id: str
    campaign_id: str
    campaign_name: str
    connection_id: str
    platform: str
    kind: ActionKind
    state: ActionState
    reason: str
    cause: str
    requested_by: str
    created_at: Instant
    deadline_at: Instant
    sent_at: Instant | None
    confirmed_at: Instant | None
    escalated_at: Instant | None
    settled_at: Instant | None
    sends: int
    attempts: int
    words: str
    daily_budget: int
    currency: str
    is_latest: bool = True

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the campaign may still be spending although it was told to stop."""
        return (
            self.kind is ActionKind.PAUSE
            and self.is_latest
            and (self.state in OPEN_STATES or self.state is ActionState.FAILED)
        )

    def spend_at_risk(self, now: Instant) -> int:
        """What the campaign may have spent since it should have stopped: its daily budget times the time, in minor units,
        rounded half up. A day's budget spent evenly is an estimate; platforms may spend twice it on one day."""
        if self.kind is not ActionKind.PAUSE:
            return 0
        until = now if self.is_unconfirmed else (self.settled_at or now)
        return round_half_up(self.daily_budget * max(0, until - self.created_at), DAY)

    @property
    def spend_per_hour(self) -> int:
        """A twenty-fourth of the daily budget, rounded half up."""
        return round_half_up(self.daily_budget, 24)

    def seconds_to_confirm(self) -> float | None:
        """From the request to the reading that confirmed it."""
        return None if self.confirmed_at is None else (self.confirmed_at - self.created_at) / SECOND


@dataclass(frozen=True, slots=True)
class SaveConnection:
    """An account to add (`id` None) or change. `sealed` None keeps the secrets that are there."""

    id: str | None
    name: str
    platform: Platform
    settings: dict[str, str]
    sealed: bytes | None = field(repr=False)
    secret_names: tuple[str, ...]
    active: bool = True


@dataclass(frozen=True, slots=True)
class SaveCampaign:
    """A campaign to add (`id` None) or change, with all of its products."""

    id: str | None
    connection_id: str
    external_id: str
    name: str
    daily_budget: int
    currency: str
    product_ids: tuple[str, ...]
    active: bool = True


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written."""

    id: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A connection, a campaign or a destination of alerts to delete."""

    id: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is gone, and how it was called."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class BookActions:
    """An order for the campaigns of some products, for some campaigns, or (both None) for all of the tenant's."""

    kind: ActionKind
    product_ids: tuple[str, ...] | None
    campaign_ids: tuple[str, ...] | None
    reason: str
    cause: str
    deadline_seconds: int


@dataclass(frozen=True, slots=True)
class Booked:
    """The orders that now stand. `held`: campaigns not resumed because another cause still holds them."""

    actions: tuple[ActionRecord, ...]
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProductSpend:
    """What ads of a product may cost a day while they run, in minor units of one currency.

    A campaign that advertises several products counts in full for each: none of them alone can stop the cost.
    """

    product_id: str
    currency: str
    daily_budget: int
    campaign_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """What became of an emergency stop: whether the writes stand still, and which campaigns are known to."""

    frozen: bool
    halt_id: str | None
    detail: str
    confirmed: tuple[ActionRecord, ...]
    unconfirmed: tuple[ActionRecord, ...]
    unpaused: tuple[str, ...] = ()
    """Tenants for whom no pause could be booked, of a stop of the whole installation."""
