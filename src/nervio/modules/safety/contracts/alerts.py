"""Alerts as other modules, routes and the console see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.actions import Field


class Severity(StrEnum):
    """How loudly to call; from least to most."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place among them."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something people must hear of. `title` and `body` are in the shop's language, or empty where `code` is one of those
    that Nervio has words for; `figures` fill the gaps of those.

    Alerts with the same `dedup_key` within a window are one alert that counts up; it is sent again when its severity
    rises. `link` is a path of the console (`/console/safety/actions`).
    """

    severity: Severity
    code: str
    title: str
    body: str
    dedup_key: str
    link: str = "/console/safety/actions"
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """The alert that stands. `sent_anew`: it goes out now; otherwise it only counted up."""

    id: str
    count: int
    sent_anew: bool


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert that was raised, and where its deliveries stand."""

    id: str
    severity: Severity
    code: str
    title: str
    body: str
    link: str
    figures: dict[str, str]
    count: int
    first_at: Instant
    last_at: Instant
    acknowledged_by: str | None
    acknowledged_at: Instant | None
    sent: int = 0
    waiting: int = 0
    failed: int = 0


class DestinationKind(StrEnum):
    """Ways on which alerts leave."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"


DESTINATION_FIELDS: dict[DestinationKind, tuple[Field, ...]] = {
    DestinationKind.WEBHOOK: (Field("url"), Field("signing_secret", secret=True)),
    # The address of an incoming webhook is all it takes to write into the channel.
    DestinationKind.SLACK: (Field("url", secret=True), Field("channel", required=False)),
    DestinationKind.EMAIL: (
        Field("host"),
        Field("port"),
        Field("security"),
        Field("sender"),
        Field("recipients"),
        Field("username", required=False),
        Field("password", required=False, secret=True),
    ),
}
"""What each kind must be told. `security`: `starttls` or `tls`; `recipients`: addresses with commas between them."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where alerts of at least a severity go. Its secrets are told by name only."""

    id: str
    name: str
    kind: DestinationKind
    settings: dict[str, str]
    secrets_set: tuple[str, ...]
    least_severity: Severity
    active: bool
    last_state: str = ""
    last_words: str = ""
    last_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class SaveDestination:
    """A destination to add (`id` None) or change. `sealed` None keeps the secrets that are there."""

    id: str | None
    name: str
    kind: DestinationKind
    settings: dict[str, str]
    sealed: bytes | None = field(repr=False)
    secret_names: tuple[str, ...]
    least_severity: Severity
    active: bool = True


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """An alert to store, and the window in which the same counts up, in seconds."""

    alert: Alert
    window_seconds: int
    destination_id: str | None = None
    """Only this destination, whatever its least severity: a trial."""
    is_critical_failure: bool = False
    """Whether it is announced as an event and kept in the journal as well."""


@dataclass(frozen=True, slots=True)
class AcknowledgeAlert:
    """Somebody has seen it."""

    alert_id: str


@dataclass(frozen=True, slots=True)
class AlertSettled:
    """The alert, acknowledged; or nothing more."""

    id: str
