"""Request and response models of orders to campaigns, of campaigns and of the accounts they run on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.time import Instant, to_iso
from nervio.modules.safety.contracts.actions import (
    ActionKind,
    ActionRecord,
    ActionState,
    Campaign,
    Connection,
    Deleted,
    Platform,
    SaveCampaign,
)
from nervio.ports.actions import Reading
from nervio.web.values import Currency, IdText, Price, RequestBody, ShortText

_A_CONNECTION: dict[str, Any] = {
    "name": "Agency",
    "platform": "webhook",
    "fields": {"url": "https://ads.example.com/orders", "signing_secret": "at least something long"},
}

FieldName = Annotated[str, Field(max_length=40)]
FieldValue = Annotated[str, Field(max_length=4000)]


class ActionReply(BaseModel):
    """An order to one campaign, and how far it has come."""

    id: str
    campaign_id: str
    campaign_name: str
    connection_id: str
    platform: Platform
    kind: ActionKind
    state: ActionState = Field(
        description="`intent`: booked. `sent`: given, not confirmed. `confirmed`: the platform was read back. `escalated`: "
        "its time is over and people were told; trying goes on. `failed`: given up. `superseded`: a later order took its "
        "place."
    )
    reason: str
    cause: str
    requested_by: str
    created_at: str
    deadline_at: str
    sent_at: str | None
    confirmed_at: str | None
    escalated_at: str | None
    sends: int = Field(description="Requests that left, all under one idempotency key.")
    words: str = Field(description="What the platform said last.")
    unconfirmed: bool = Field(description="A pause whose campaign may still be spending.")
    spend_at_risk_minor: int = Field(
        description="What the campaign may have spent since the pause was asked for: its daily budget times the time."
    )
    currency: str

    @classmethod
    def of(cls, action: ActionRecord, now: Instant) -> ActionReply:
        def when(instant: Instant | None) -> str | None:
            return None if instant is None else to_iso(instant)

        return cls(
            id=action.id,
            campaign_id=action.campaign_id,
            campaign_name=action.campaign_name,
            connection_id=action.connection_id,
            platform=Platform(action.platform),
            kind=action.kind,
            state=action.state,
            reason=action.reason,
            cause=action.cause,
            requested_by=action.requested_by,
            created_at=to_iso(action.created_at),
            deadline_at=to_iso(action.deadline_at),
            sent_at=when(action.sent_at),
            confirmed_at=when(action.confirmed_at),
            escalated_at=when(action.escalated_at),
            sends=action.sends,
            words=action.words,
            unconfirmed=action.is_unconfirmed,
            spend_at_risk_minor=action.spend_at_risk(now),
            currency=action.currency,
        )


class ActionsReply(BaseModel):
    """The orders that now stand."""

    actions: list[ActionReply]


class OrderRequest(RequestBody):
    """Which campaigns, and why. Without products and campaigns: all of the shop's."""

    reason: str = Field(description="Why. It stays in the journal.", examples=["Out of stock"], max_length=500)
    product_ids: list[IdText] | None = Field(
        None, max_length=1000, description="Campaigns that advertise any of these products."
    )
    campaign_ids: list[IdText] | None = Field(None, max_length=1000, description="These campaigns.")


class ConnectionReply(BaseModel):
    """An account of a platform. Secrets are never told, only which of them are set."""

    id: str
    name: str
    platform: Platform
    settings: dict[str, str]
    secrets_set: list[str]
    active: bool
    breaker: str = Field(description="`open` and `half_open`: the platform fails, and nothing is resumed there.")
    updated_at: str

    @classmethod
    def of(cls, connection: Connection) -> ConnectionReply:
        return cls(
            id=connection.id,
            name=connection.name,
            platform=connection.platform,
            settings=connection.settings,
            secrets_set=list(connection.secrets_set),
            active=connection.active,
            breaker=connection.breaker,
            updated_at=to_iso(connection.updated_at),
        )


class ConnectionRequest(RequestBody):
    """An account. `fields` holds what the platform needs; a secret that is left out stays as it is.

    `webhook`: url, status_url, signing_secret. `google_ads`: customer_id, login_customer_id, developer_token, client_id,
    client_secret, refresh_token. `meta_ads`: account_id, access_token, app_secret.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_A_CONNECTION]})

    name: ShortText
    platform: str = Field(max_length=40, description="webhook, google_ads or meta_ads.")
    fields: dict[FieldName, FieldValue]
    active: bool = True


class CampaignReply(BaseModel):
    """A campaign that Nervio may pause."""

    id: str
    connection_id: str
    connection_name: str
    platform: Platform
    external_id: str
    name: str
    daily_budget_minor: int
    currency: str
    status: str = Field(description="What the platform said last: running, paused, gone or unknown.")
    status_at: str | None
    product_ids: list[str]
    active: bool

    @classmethod
    def of(cls, campaign: Campaign) -> CampaignReply:
        return cls(
            id=campaign.id,
            connection_id=campaign.connection_id,
            connection_name=campaign.connection_name,
            platform=campaign.platform,
            external_id=campaign.external_id,
            name=campaign.name,
            daily_budget_minor=campaign.daily_budget,
            currency=campaign.currency,
            status=campaign.status,
            status_at=None if campaign.status_at is None else to_iso(campaign.status_at),
            product_ids=list(campaign.product_ids),
            active=campaign.active,
        )


class CampaignRequest(RequestBody):
    """A campaign with all of its products."""

    connection_id: IdText
    external_id: ShortText = Field(description="The platform's own id of it.", examples=["23851234567890123"])
    name: ShortText
    daily_budget_minor: Price = Field(description="What it may spend a day, in minor units.", examples=[500_000])
    currency: Currency
    product_ids: list[IdText] = Field(max_length=1000)
    active: bool = True

    def to_command(self, campaign_id: str | None) -> SaveCampaign:
        """What the use case takes."""
        return SaveCampaign(
            campaign_id,
            self.connection_id,
            self.external_id,
            self.name,
            self.daily_budget_minor,
            self.currency,
            tuple(self.product_ids),
            self.active,
        )


class DeletedReply(BaseModel):
    """What is gone."""

    id: str
    name: str

    @classmethod
    def of(cls, deleted: Deleted) -> DeletedReply:
        return cls(id=deleted.id, name=deleted.name)


class ReadingReply(BaseModel):
    """What the platform says of a campaign at this moment."""

    status: str = Field(description="running, paused, gone, or unknown where it could not be read.")
    words: str

    @classmethod
    def of(cls, reading: Reading) -> ReadingReply:
        return cls(status=reading.status.value, words=reading.words[:500])
