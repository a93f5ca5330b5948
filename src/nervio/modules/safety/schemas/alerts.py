"""Request and response models of alerts and of where they go."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.time import to_iso
from nervio.modules.safety.api import alerts as api
from nervio.modules.safety.contracts.alerts import AlertRaised, AlertRecord, Destination, DestinationKind, Severity
from nervio.modules.safety.schemas.actions import FieldName, FieldValue
from nervio.web.values import RequestBody, ShortText

_A_DESTINATION: dict[str, Any] = {
    "name": "Chat",
    "kind": "slack",
    "fields": {"url": "https://hooks.slack.com/services/T000/B000/XXXX"},
    "least_severity": "warning",
}


class AlertReply(BaseModel):
    """An alert, in the shop's language."""

    id: str
    severity: Severity
    code: str
    title: str
    body: str
    link: str = Field(description="The page concerned, as a path.")
    count: int = Field(description="How often it was raised within its window.")
    first_at: str
    last_at: str
    acknowledged_by: str | None
    acknowledged_at: str | None
    sent: int = Field(description="Destinations that took it.")
    waiting: int
    failed: int

    @classmethod
    def of(cls, alert: AlertRecord, language: str) -> AlertReply:
        title, body = api.text_of(alert, language)
        return cls(
            id=alert.id,
            severity=alert.severity,
            code=alert.code,
            title=title,
            body=body,
            link=alert.link,
            count=alert.count,
            first_at=to_iso(alert.first_at),
            last_at=to_iso(alert.last_at),
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at=None if alert.acknowledged_at is None else to_iso(alert.acknowledged_at),
            sent=alert.sent,
            waiting=alert.waiting,
            failed=alert.failed,
        )


class AlertRaisedReply(BaseModel):
    """The alert that went out."""

    id: str
    count: int

    @classmethod
    def of(cls, raised: AlertRaised) -> AlertRaisedReply:
        return cls(id=raised.id, count=raised.count)


class AcknowledgedReply(BaseModel):
    """The alert, seen."""

    id: str


class DestinationReply(BaseModel):
    """Where alerts go. Secrets are never told, only which of them are set."""

    id: str
    name: str
    kind: DestinationKind
    settings: dict[str, str]
    secrets_set: list[str]
    least_severity: Severity
    active: bool
    last_state: str = Field(description="What became of its newest delivery: sent, waiting, failed, or empty.")
    last_words: str

    @classmethod
    def of(cls, destination: Destination) -> DestinationReply:
        return cls(
            id=destination.id,
            name=destination.name,
            kind=destination.kind,
            settings=destination.settings,
            secrets_set=list(destination.secrets_set),
            least_severity=destination.least_severity,
            active=destination.active,
            last_state=destination.last_state,
            last_words=destination.last_words,
        )


class DestinationRequest(RequestBody):
    """Where alerts go. `fields` holds what the kind needs; a secret that is left out stays as it is.

    `webhook`: url, signing_secret. `slack`: url (kept as a secret), channel. `email`: host, port, security (starttls or
    tls), sender, recipients, username, password.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_A_DESTINATION]})

    name: ShortText
    kind: str = Field(max_length=40, description="webhook, slack or email.")
    fields: dict[FieldName, FieldValue]
    least_severity: str = Field("warning", max_length=20, description="info, warning or critical.")
    active: bool = True
